import { mountBlob } from '#core/blobs.ts';
import { type Digest, type DigestAlgorithm, isDigest, isWellFormedDigest, parseDigest } from '#core/digest.ts';
import { Failure } from '#core/failure.ts';
import type { RepositoryAccess } from '#core/registry-access.ts';
import { requireRepository } from '#core/registry-access.ts';
import { appendChunk, type ChunkRange } from '#core/upload-chunks.ts';
import { finishUpload, putBlob } from '#core/upload-finish.ts';
import { cancelUpload, getUpload, startUpload, type UploadState, uploadUnknown } from '#core/uploads.ts';
import { bodyOf, type Exchange, openFor, queryOf } from './exchange.ts';
import type { Route } from './routes.ts';

type StartRoute = Extract<Route, { kind: 'tags' | 'uploads' }>;
type SessionRoute = Extract<Route, { id: string }>;

/**
 * Headers that say where a session stands. The location is a path only: behind proxies an absolute one is the commonest
 * fault, and every client resolves it. Empty uploads say `0-0`, which the spec's form does not tell from one byte.
 */
export function describeSession(name: string, { id, received }: UploadState): Record<string, string> {
  return {
    Location: `/v2/${name}/blobs/uploads/${id}`,
    Range: `0-${Math.max(received - 1, 0)}`,
    'Docker-Upload-UUID': id,
  };
}

/** POST (end-4a, 4b, 4c, 11): a session, a whole blob, or a mount. What cannot be mounted becomes a session. */
export async function beginUpload(exchange: Exchange, route: StartRoute) {
  const { platform, actor, region } = exchange;
  const repository = await openFor(exchange, route, 'push');
  const query = queryOf(exchange);
  const mount = query.get('mount');
  if (mount !== null && isMountable(mount)) {
    const from = query.get('from') ?? undefined;
    const blob = await mountBlob(platform, actor, repository, mount, { region, from });
    if (blob) return sendCreated(exchange, route, blob.digest);
  }
  const digest = query.get('digest');
  const body = bodyOf(exchange);
  if (mount === null && digest !== null && (body.length !== 0 || isEmptyBlob(digest))) {
    const stored = await putBlob(platform, actor, repository, { digest: parseDigest(digest), body });
    return sendCreated(exchange, route, stored.digest);
  }
  const session = await startUpload(platform, actor, repository, parseAlgorithm(query.get('digest-algorithm')));
  return exchange.reply.code(202).headers(describeSession(route.name, session)).header('Content-Length', '0').send();
}

/** A digest of another algorithm may be that of a blob, only not of one here. Throws `invalid` for what is no digest. */
function isMountable(text: string): text is Digest {
  if (!isWellFormedDigest(text)) parseDigest(text);
  return isDigest(text);
}

/** Some clients announce a digest on an empty POST as a hint; only these two digests can be meant. */
function isEmptyBlob(digest: string): boolean {
  return /^(?:sha256:e3b0c44298fc1c149afbf4c8996fb924|sha512:cf83e1357eefb8bdf1542850d66d8007)/.test(digest);
}

function parseAlgorithm(text: string | null): DigestAlgorithm {
  if (text === null || text === 'sha256') return 'sha256';
  if (text === 'sha512') return 'sha512';
  throw new Failure('invalid', `Digests of ${JSON.stringify(text.slice(0, 40))} are not kept. Use sha256 or sha512.`, {
    about: 'digest',
  });
}

function sendCreated({ reply }: Exchange, { name }: { name: string }, digest: string) {
  return reply
    .code(201)
    .headers({ Location: `/v2/${name}/blobs/${digest}`, 'Docker-Content-Digest': digest, 'Content-Length': '0' })
    .send();
}

/** PATCH (end-5): a chunk, or a stream of unknown length. */
export async function patchUpload(exchange: Exchange, route: SessionRoute) {
  const repository = await openSession(exchange, route);
  const chunk = { body: bodyOf(exchange), range: parseContentRange(exchange) };
  const session = await appendChunk(exchange.platform, exchange.actor, repository, route.id, chunk);
  return exchange.reply.code(202).headers(describeSession(route.name, session)).header('Content-Length', '0').send();
}

/** PUT (end-6): the end, with or without a last chunk. */
export async function putUpload(exchange: Exchange, route: SessionRoute) {
  const repository = await openSession(exchange, route);
  const digest = parseDigest(queryOf(exchange).get('digest') ?? '');
  const chunk = { body: bodyOf(exchange), range: parseContentRange(exchange) };
  const blob = await finishUpload(exchange.platform, exchange.actor, repository, route.id, { digest, ...chunk });
  return sendCreated(exchange, route, blob.digest);
}

/** GET (end-13): where the session stands. */
export async function showUpload(exchange: Exchange, route: SessionRoute) {
  const repository = await openSession(exchange, route);
  const { received } = await getUpload(exchange.platform, exchange.actor, repository, route.id);
  return exchange.reply
    .code(204)
    .headers(describeSession(route.name, { id: route.id, received }))
    .send();
}

/** DELETE (end-14). */
export async function abandonUpload(exchange: Exchange, route: SessionRoute) {
  const repository = await openSession(exchange, route);
  await cancelUpload(exchange.platform, exchange.actor, repository, route.id);
  return exchange.reply.code(204).send();
}

async function openSession(exchange: Exchange, route: SessionRoute): Promise<RepositoryAccess & { id: string }> {
  const repository = await openFor(exchange, route, 'push');
  if (repository.id === undefined) throw uploadUnknown();
  requireRepository(repository);
  return repository;
}

/** Inclusive end and no unit: this is the distribution spec's range, not HTTP's. */
function parseContentRange({ request }: Exchange): ChunkRange | undefined {
  const header = request.headers['content-range'];
  if (header === undefined) return undefined;
  const match = /^([0-9]{1,15})-([0-9]{1,15})$/.exec(header.trim());
  const range = { start: Number(match?.[1]), end: Number(match?.[2]) };
  if (match && range.end >= range.start) return range;
  throw new Failure('invalid', `Content-Range is ${JSON.stringify(header.slice(0, 60))}. Use <first>-<last> byte.`, {
    about: 'upload',
  });
}
