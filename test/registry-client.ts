import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { Platform } from '#core/platform.ts';
import { buildApp } from '#server/app.ts';
import type { Scope } from './database.ts';
import { type Answer, type Ask, askerOf, basic, imageType, withAuthorization } from './oci-client.ts';
import { openTestPlatform, type SeededTeam, seedTeam, type TestPlatform } from './platform.ts';

export const indexType = 'application/vnd.oci.image.index.v1+json';
export const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
export const emptyType = 'application/vnd.oci.empty.v1+json';

export type Registry = {
  platform: TestPlatform;
  app: FastifyInstance;
  team: SeededTeam;
  /** As nobody. */
  ask: Ask;
  /** As the owner of the team `acme` and its registry `acme`. */
  owner: Ask;
};

/** The real app on a platform of its own, with one team. `listen(registry)` gives it a port. */
export async function openRegistry(t: Scope, overrides: Partial<Platform> = {}): Promise<Registry> {
  let app: FastifyInstance | undefined;
  t.after(async () => {
    // A client that broke off in the middle must not keep the server from closing, nor a server the database.
    app?.server.closeAllConnections();
    await app?.close();
  });
  const platform = await openTestPlatform(t, overrides);
  app = await buildApp(platform);
  const team = await seedTeam(platform, 'acme');
  const ask = askerOf(app);
  return { platform, app, team, ask, owner: withAuthorization(ask, basic(team.secret)) };
}

/** A port on loopback. */
export async function listen({ app }: Pick<Registry, 'app'>): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 });
  const address = app.server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

export function sha256(bytes: string | Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function sha512(bytes: string | Buffer): string {
  return `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
}

// The codes of the distribution spec, and the only ones that a 4xx may carry.
const legalCodes = new Set([
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
]);

export type ErrorEntry = { code: string; message: string; detail?: Record<string, unknown> };

/** The errors of a 4xx, which must be in the form that clients parse. */
export function errorsOf(answer: Answer): ErrorEntry[] {
  assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} is no refusal: ${answer.text}`);
  assert.equal(answer.headers['content-type'], 'application/json');
  const { errors } = JSON.parse(answer.text) as { errors: ErrorEntry[] };
  assert.ok(errors.length > 0);
  for (const { code, message } of errors) {
    assert.ok(legalCodes.has(code), code);
    assert.match(message, /^[^\n]+[.:]/);
  }
  return errors;
}

/** `404 BLOB_UNKNOWN`, for tables. A HEAD has no code, and an answer that is no refusal has none either. */
export function outcomeOf(answer: Answer): string {
  const isRefusal = answer.status >= 400 && answer.status < 500 && answer.text !== '';
  return isRefusal ? `${answer.status} ${errorsOf(answer)[0]?.code}` : `${answer.status}`;
}

/** Each header as said; `undefined` must not be there. */
export function assertHeaders(answer: Answer, expected: Record<string, string | RegExp | undefined>): void {
  for (const [name, value] of Object.entries(expected)) {
    const found = answer.headers[name.toLowerCase()];
    if (value instanceof RegExp) assert.match(found ?? '(absent)', value, name);
    else assert.equal(found === undefined ? undefined : `${found}`, value, name);
  }
}

export async function startSession(ask: Ask, repository: string, query = ''): Promise<string> {
  const answer = await ask('POST', `/v2/${repository}/blobs/uploads/${query}`);
  assert.equal(answer.status, 202, answer.text);
  return answer.headers.location ?? '';
}

/** Through a session and one PUT. Answers the digest. */
export async function uploadBlob(ask: Ask, repository: string, bytes: string | Buffer, digest = sha256(bytes)) {
  const location = await startSession(ask, repository);
  const answer = await ask('PUT', `${location}?digest=${digest}`, { body: bytes });
  assert.equal(answer.status, 201, answer.text);
  return digest;
}

export type Descriptor = { mediaType: string; digest: string; size: number };

export function describe(bytes: string | Buffer, mediaType = layerType): Descriptor {
  return { mediaType, digest: sha256(bytes), size: Buffer.byteLength(bytes) };
}

/** The text of an image manifest over these texts; they must be pushed apart. */
export function imageOf(layers: readonly string[], fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: imageType,
    config: describe('{}', emptyType),
    layers: layers.map((layer) => describe(layer)),
    ...fields,
  });
}

export function indexOf(manifests: readonly Descriptor[], fields: Record<string, unknown> = {}): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests, ...fields });
}

export function putManifest(ask: Ask, repository: string, reference: string, body: string | Buffer, type = imageType) {
  return ask('PUT', `/v2/${repository}/manifests/${reference}`, {
    headers: type === '' ? {} : { 'content-type': type },
    body,
  });
}

/** A manifest that must be taken. Answers its sha256 digest. */
export async function pushManifest(ask: Ask, repository: string, reference: string, body: string, type = imageType) {
  const answer = await putManifest(ask, repository, reference, body, type);
  assert.equal(answer.status, 201, answer.text);
  return sha256(body);
}

/** Next page of a listing, as its `Link` says. */
export function nextOf({ headers }: Answer): string | undefined {
  if (headers.link === undefined) return undefined;
  const match = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(headers.link);
  assert.ok(match, headers.link);
  return match[1];
}
