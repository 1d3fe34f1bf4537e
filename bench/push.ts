import { createHash, type Hash, randomBytes } from 'node:crypto';
import { type Connection, headerOf, type Reply, requestHead } from './connection.ts';
import { type Server, sessionPath } from './servers.ts';

type Headers = Record<string, string>;
/** Bytes that exist once: the same 1 MiB again and again, then a tail of its own. Costs no memory and little to hash. */
export type Blob = { size: number; digest: string; chunks: () => Iterable<Buffer> };

const mib = 1024 * 1024;
const page = randomBytes(mib);
const prefixHashes = new Map<number, Hash>();

export const imageType = 'application/vnd.oci.image.manifest.v1+json';

export function makeBlob(size: number): Blob {
  const tail = randomBytes(Math.min(size, 64));
  const prefix = size - tail.length;
  const digest = `sha256:${hashOfPrefix(prefix).copy().update(tail).digest('hex')}`;
  return { size, digest, chunks: () => chunksOf(prefix, tail) };
}

function hashOfPrefix(size: number): Hash {
  const known = prefixHashes.get(size);
  if (known !== undefined) return known;
  const hash = createHash('sha256');
  for (const chunk of chunksOf(size, Buffer.alloc(0))) hash.update(chunk);
  prefixHashes.set(size, hash);
  return hash;
}

function* chunksOf(prefix: number, tail: Buffer): Iterable<Buffer> {
  for (let left = prefix; left > 0; left -= mib) yield left >= mib ? page : page.subarray(0, left);
  yield tail;
}

function* chunked(blob: Blob): Iterable<Buffer> {
  for (const chunk of blob.chunks()) {
    yield Buffer.from(`${chunk.length.toString(16)}\r\n`);
    yield chunk;
    yield Buffer.from('\r\n');
  }
  yield Buffer.from('0\r\n\r\n');
}

/** `put`: POST, PUT with all bytes. `patch`: POST, PATCH that streams without a length, empty PUT. */
export type PushWay = 'put' | 'patch';

export async function pushBlob(
  connection: Connection,
  repository: string,
  blob: Blob,
  headers: Headers,
  way: PushWay = 'put',
) {
  const length = { ...headers, 'Content-Length': 0 };
  const session = await connection.send(requestHead('POST', `/v2/${repository}/blobs/uploads/`, length));
  let location = locationOf(expect(session, 202, 'start of an upload'));
  if (way === 'patch') {
    const streamed = { ...headers, 'Transfer-Encoding': 'chunked', 'Content-Type': 'application/octet-stream' };
    const patch = requestHead('PATCH', sessionPath(location), streamed);
    location = locationOf(expect(await connection.upload(patch, chunked(blob)), 202, 'PATCH'));
    const finish = requestHead('PUT', sessionPath(location, blob.digest), length);
    return expect(await connection.send(finish, 'keep'), 201, 'finish of an upload');
  }
  const whole = { ...headers, 'Content-Length': blob.size, 'Content-Type': 'application/octet-stream' };
  const put = requestHead('PUT', sessionPath(location, blob.digest), whole);
  return expect(await connection.upload(put, blob.chunks()), 201, 'PUT of a blob');
}

export async function pushManifest(
  connection: Connection,
  repository: string,
  reference: string,
  { type, body }: { type: string; body: string },
  headers: Headers,
): Promise<string> {
  const bytes = Buffer.from(body);
  const head = requestHead('PUT', `/v2/${repository}/manifests/${reference}`, {
    ...headers,
    'Content-Type': type,
    'Content-Length': bytes.length,
  });
  expect(await connection.send(Buffer.concat([head, bytes]), 'keep'), 201, 'PUT of a manifest');
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function imageManifest(config: Blob, layers: Blob[]): { type: string; body: string } {
  const layerType = 'application/vnd.oci.image.layer.v1.tar';
  return {
    type: imageType,
    body: JSON.stringify({
      schemaVersion: 2,
      mediaType: imageType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config.digest, size: config.size },
      layers: layers.map(({ digest, size }) => ({ mediaType: layerType, digest, size })),
    }),
  };
}

/** Runs a task for each item, one at a time on each of the workers' connections. */
export async function eachOf<T>(
  items: Iterable<T>,
  workers: Connection[],
  task: (item: T, worker: Connection) => Promise<unknown>,
) {
  const queue = Iterator.from(items);
  await Promise.all(
    workers.map(async (worker) => {
      for (const item of queue) await task(item, worker);
    }),
  );
}

export function expect(reply: Reply, status: number, what: string): Reply {
  if (reply.status !== status) throw new Error(`${what}: ${reply.status}, not ${status}\n${reply.head}\n${reply.body}`);
  return reply;
}

function locationOf(reply: Reply): string {
  const location = headerOf(reply, 'location');
  if (location === undefined) throw new Error(`no Location in:\n${reply.head}`);
  return location;
}

export function repositoryOf(server: Server, name: string): string {
  return `${server.prefix}${name}`;
}
