import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before } from 'node:test';
import { type Lading, startLading } from '../servers/lading.ts';
import { startReplicas } from '../servers/replicas.ts';
import { followRedirect } from './redirects.ts';

// What a registry must do towards any client, asked of the real program over the network. The order of questions and
// what counts as right follow the distribution specification and what its official suite looks at; the official suite
// itself is run by hand, through `official.ts`.

export type Algorithm = 'sha256' | 'sha512';
export type Answer = { status: number; headers: Headers; bytes: Buffer };
export type Sending = { headers?: Record<string, string>; body?: Buffer | string | ReadableStream<Uint8Array> };
export type Registry = {
  lading: Pick<Lading, 'url' | 'key'> & { stop: () => Promise<unknown> };
  /** A repository that no other test uses. */
  repository: () => string;
  ask: (method: string, path: string, sending?: Sending) => Promise<Answer>;
};

/** With LADING_TEST_REPLICAS that many on one database and bucket, and before them a load balancer that sends requests anywhere. */
const count = Number(process.env.LADING_TEST_REPLICAS ?? 1);
const start = () => (count > 1 ? startReplicas({ count }) : startLading());

/** A server for all tests of a file. */
export function useRegistry(): Registry {
  const registry = {} as Registry;
  const servedBy = new Set<string | null>();
  before(async () => {
    const lading = await start();
    const authorization = `Basic ${Buffer.from(`conformance:${lading.key}`).toString('base64')}`;
    registry.lading = lading;
    registry.repository = () => `default/conformance/${randomBytes(6).toString('hex')}`;
    registry.ask = async (method, path, { headers, body } = {}) => {
      const own = await fetch(new URL(path, lading.url), {
        method,
        redirect: 'manual',
        headers: { authorization, ...headers },
        ...(body === undefined ? {} : { body, duplex: 'half' }),
      } as RequestInit);
      servedBy.add(own.headers.get('x-served-by'));
      const answer = await followRedirect(method, path, headers?.range, own);
      return { status: answer.status, headers: answer.headers, bytes: Buffer.from(await answer.arrayBuffer()) };
    };
  });
  after(async () => {
    await registry.lading?.stop();
    assert.equal(servedBy.size, count, 'each server has answered');
  });
  return registry;
}

export function digest(bytes: Buffer | string, algorithm: Algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** Fails unless the answer has the status; a 4xx must also speak the specification's JSON. */
export function expectStatus(answer: Answer, ...wanted: number[]): Answer {
  assert.ok(
    wanted.includes(answer.status),
    `${answer.status}, wanted ${wanted.join(' or ')}: ${answer.bytes.subarray(0, 500)}`,
  );
  if (answer.status >= 400 && answer.bytes.length > 0) expectErrorBody(answer);
  return answer;
}

const CODES = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
];

function expectErrorBody({ bytes, headers }: Answer): void {
  assert.match(headers.get('content-type') ?? '', /^application\/json/);
  const { errors } = JSON.parse(bytes.toString());
  assert.ok(Array.isArray(errors) && errors.length > 0);
  for (const { code } of errors) assert.ok(CODES.includes(code), code);
}

export function location(answer: Answer): string {
  const value = answer.headers.get('location');
  assert.ok(value, 'no Location');
  return value;
}

export function withQuery(path: string, name: string, value: string): string {
  return `${path}${path.includes('?') ? '&' : '?'}${name}=${encodeURIComponent(value)}`;
}

/** Opens an upload session; its Location. */
export async function openSession({ ask }: Registry, repository: string): Promise<string> {
  return location(expectStatus(await ask('POST', `/v2/${repository}/blobs/uploads/`), 202));
}

export async function pushBlob(
  registry: Registry,
  repository: string,
  bytes: Buffer,
  algorithm?: Algorithm,
): Promise<string> {
  const name = digest(bytes, algorithm);
  const session = await openSession(registry, repository);
  expectStatus(await registry.ask('PUT', withQuery(session, 'digest', name), { body: bytes }), 201);
  return name;
}

/** GET and HEAD of a blob or manifest agree, and both say what they must. */
export async function expectContent(
  registry: Registry,
  path: string,
  bytes: Buffer,
  name: string,
  type?: string,
): Promise<void> {
  const head = expectStatus(await registry.ask('HEAD', path), 200);
  const get = expectStatus(await registry.ask('GET', path), 200);
  assert.deepEqual(get.bytes, bytes);
  assert.equal(head.bytes.length, 0);
  for (const { headers } of [head, get]) {
    assert.equal(headers.get('docker-content-digest'), name);
    assert.equal(headers.get('content-length'), String(bytes.length));
    if (type !== undefined) assert.equal(headers.get('content-type'), type);
  }
}
