import { createHash, randomBytes, randomInt } from 'node:crypto';
import { expectBlob, expectManifest, expectTag, type Ledger } from './ledger.ts';

/** A server as one client sees it. */
export type Client = {
  url: string;
  authorization: string;
  signal: AbortSignal;
  ledger: Ledger;
  /**
   * A load balancer stands between: it says 502 or 504 of a server that died, which leaves open what that server did, and
   * asks another one again, which may find a thing done already.
   */
  isBalanced?: boolean;
  /** Some layers are so large that S3 gets them in parts. */
  hasLargeLayers?: boolean;
};

type Sending = {
  method: string;
  path: string;
  body?: string | Buffer | ReadableStream<Uint8Array>;
  headers?: Record<string, string>;
};

const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** One request; throws unless the answer has the status that acknowledges it. */
async function send(client: Client, { method, path, body, headers }: Sending, acknowledged: number): Promise<Response> {
  const answer = await fetch(new URL(path, client.url), {
    method,
    headers: { authorization: client.authorization, ...headers },
    signal: client.signal,
    ...(body === undefined ? {} : { body, duplex: 'half' }),
  } as RequestInit);
  const text = await answer.text();
  const { status } = answer;
  if (status === acknowledged) return answer;
  const message = `${method} ${path}: ${status} ${text}`;
  if (!client.isBalanced || ![502, 503, 504].includes(status)) {
    throw Object.assign(newRefusal(message), { answer: { status, text, headers: answer.headers } });
  }
  // 503 is Lading's own: nothing was done, try again. The rows of a server that just died may be locked for a moment.
  if (status === 503) client.ledger.busy += 1;
  throw new Error(message);
}

/** For what can be done only once: not found is as good where it has been done, by the first of two tries of one request. */
async function sendOnce(client: Client, sending: Sending, acknowledged: number, isDone: () => Promise<boolean>) {
  try {
    await send(client, sending, acknowledged);
  } catch (error) {
    if (!client.isBalanced || refusedOf(error)?.status !== 404 || !(await isDone())) throw error;
    client.ledger.repeated += 1;
  }
}

/** Throws where nobody can tell. */
async function isThere({ url, authorization, signal }: Client, path: string): Promise<boolean> {
  const { status } = await fetch(new URL(path, url), { method: 'HEAD', headers: { authorization }, signal });
  if (status !== 200 && status !== 404) throw new Error(`HEAD ${path}: ${status}`);
  return status === 200;
}

const REFUSAL = 'Refusal';

/** An answer that a correct server never gives here, as against a connection that broke. */
function newRefusal(message: string): Error {
  return Object.assign(new Error(message), { name: REFUSAL });
}

export function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.name === REFUSAL;
}

export type Refused = { status: number; text: string; headers: Headers };

/** What a refusal said, for who expects some. */
export function refusedOf(error: unknown): Refused | undefined {
  return isRefusal(error) ? (error as { answer?: Refused }).answer : undefined;
}

async function openSession(client: Client, repository: string): Promise<string> {
  const answer = await send(client, { method: 'POST', path: `/v2/${repository}/blobs/uploads/` }, 202);
  return locationOf(answer);
}

function locationOf(answer: Response): string {
  const location = answer.headers.get('location');
  if (location === null) throw newRefusal(`no Location after ${answer.url}`);
  return location;
}

function finishing(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;
}

/** The end of a session, with its last bytes if there are any. */
function finish(client: Client, repository: string, digest: string, location: string, body?: Buffer): Promise<void> {
  const sending = { method: 'PUT', path: finishing(location, digest), ...(body && { body }) };
  return sendOnce(client, sending, 201, () => isThere(client, `/v2/${repository}/blobs/${digest}`));
}

function inPieces(bytes: Buffer, count: number): Buffer[] {
  const size = Math.ceil(bytes.length / count);
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size)).filter(
    (part) => part.length > 0,
  );
}

type Upload = (client: Client, repository: string, bytes: Buffer, digest: string) => Promise<void>;

/** The ways to push a blob. Each resolves when the server has said that it keeps it. */
export const uploads: Record<string, Upload> = {
  async whole(client, repository, bytes, digest) {
    const location = await openSession(client, repository);
    await finish(client, repository, digest, location, bytes);
  },

  async single(client, repository, bytes, digest) {
    await send(
      client,
      { method: 'POST', path: finishing(`/v2/${repository}/blobs/uploads/`, digest), body: bytes },
      201,
    );
  },

  async chunked(client, repository, bytes, digest) {
    const id = `${repository}@${digest}`;
    let location = await openSession(client, repository);
    client.ledger.sessions.set(id, { location, bytes, digest, acknowledged: 0 });
    let offset = 0;
    for (const part of inPieces(bytes, 4)) {
      const headers = { 'content-range': `${offset}-${offset + part.length - 1}` };
      location = locationOf(await send(client, { method: 'PATCH', path: location, body: part, headers }, 202));
      offset += part.length;
      client.ledger.sessions.set(id, { location, bytes, digest, acknowledged: offset });
    }
    client.ledger.sessions.delete(id);
    await finish(client, repository, digest, location);
  },

  async chunkedToTheEnd(client, repository, bytes, digest) {
    const [first, last] = inPieces(bytes, 2);
    let location = await openSession(client, repository);
    location = locationOf(await send(client, { method: 'PATCH', path: location, body: first ?? Buffer.alloc(0) }, 202));
    await finish(client, repository, digest, location, last ?? Buffer.alloc(0));
  },

  async streamed(client, repository, bytes, digest) {
    const pieces = inPieces(bytes, 8);
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const piece = pieces.shift();
        if (piece) controller.enqueue(piece);
        else controller.close();
      },
    });
    const location = await openSession(client, repository);
    const answer = await send(client, { method: 'PATCH', path: location, body }, 202);
    await finish(client, repository, digest, locationOf(answer));
  },
};

async function pushBlob(client: Client, repository: string, bytes: Buffer): Promise<string> {
  const digest = digestOf(bytes);
  const arrived = expectBlob(client.ledger, repository, digest);
  const ways = Object.values(uploads);
  await ways[randomInt(ways.length)]?.(client, repository, bytes, digest);
  arrived();
  return digest;
}

async function mountBlob(client: Client, from: string, to: string, digest: string): Promise<void> {
  const arrived = expectBlob(client.ledger, to, digest);
  await send(client, { method: 'POST', path: `/v2/${to}/blobs/uploads/?mount=${digest}&from=${from}` }, 201);
  arrived();
}

/**
 * Pushes one image of random layers: a tag of its own, and `moving`, which moves with every push and is sometimes
 * deleted. The first layer goes to `shared` and is mounted from there.
 */
export async function pushImage(
  client: Client,
  repository: string,
  shared: string,
  tag: string,
  moving: string,
): Promise<void> {
  const layers = Array.from({ length: 2 + randomInt(2) }, () => randomBytes(sizeOfLayer(client)));
  const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', config: {}, nonce: tag }));
  const [mounted, ...rest] = layers as [Buffer, ...Buffer[]];
  const first = await pushBlob(client, shared, mounted);
  await mountBlob(client, shared, repository, first);
  for (const bytes of [config, ...rest]) await pushBlob(client, repository, bytes);
  const manifest = toManifest(config, layers);
  for (const name of [tag, moving]) {
    const arrived = expectManifest(client.ledger, repository, manifest, name);
    const path = `/v2/${repository}/manifests/${name}`;
    await send(client, { method: 'PUT', path, body: manifest.bytes, headers: { 'content-type': MANIFEST_TYPE } }, 201);
    arrived();
  }
  client.ledger.pushes += 1;
  if (randomInt(4) > 0) return;
  const gone = expectTag(client.ledger, repository, moving, undefined);
  const path = `/v2/${repository}/manifests/${moving}`;
  await sendOnce(client, { method: 'DELETE', path }, 202, async () => !(await isThere(client, path)));
  gone();
}

function sizeOfLayer({ hasLargeLayers }: Client): number {
  if (hasLargeLayers && randomInt(12) === 0) return randomInt(9_000_000, 20_000_000);
  return randomInt(2) ? randomInt(1, 4_000) : randomInt(1, 1_500_000);
}

function toManifest(config: Buffer, layers: Buffer[]): { digest: string; bytes: string; needs: string[] } {
  const describe = (mediaType: string) => (bytes: Buffer) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const parts = { config: describe(CONFIG_TYPE)(config), layers: layers.map(describe(LAYER_TYPE)) };
  const bytes = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, ...parts });
  return { digest: digestOf(bytes), bytes, needs: [parts.config, ...parts.layers].map(({ digest }) => digest) };
}
