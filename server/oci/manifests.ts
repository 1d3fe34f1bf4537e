import { type Digest, isDigest, parseDigest } from '#core/digest.ts';
import { Failure } from '#core/failure.ts';
import { manifestBytesMax } from '#core/manifest-document.ts';
import { pushManifest } from '#core/manifest-push.ts';
import { deleteManifest, getManifest, manifestUnknown, type StoredManifest } from '#core/manifests.ts';
import { isTagName, parseTagName, type TagName } from '#core/names.ts';
import { requireRepository } from '#core/registry-access.ts';
import { deleteTag, type TagCondition } from '#core/tags.ts';
import { bodyOf, type Exchange, openFor, queryOf } from './exchange.ts';
import { matchesEtag } from './ranges.ts';
import type { Route } from './routes.ts';

type ManifestRoute = Extract<Route, { reference: string }>;

/** More `tag` parameters than this are 414; the spec asks for ten at least. */
const tagsMax = 50;

/** GET and HEAD of a manifest (end-3). `Accept` is not read: what was pushed is what is sent, never a conversion. */
export async function sendManifest({ platform, actor, region, request, reply }: Exchange, route: ManifestRoute) {
  const { name, reference } = route;
  const isHead = request.method === 'HEAD';
  const query = { region, name, reference, withBytes: !isHead };
  const manifest = await getManifest(platform, actor, query);
  reply.headers(describeManifest(manifest, reference));
  if (matchesEtag(request.headers['if-none-match'], manifest.digest)) return reply.code(304).send();
  reply.header('Content-Length', String(manifest.size));
  return isHead ? reply.send() : reply.send(manifest.bytes);
}

export function describeManifest({ digest, mediaType }: StoredManifest, reference: string): Record<string, string> {
  return {
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Cache-Control': isDigest(reference) ? 'private, max-age=31536000, immutable' : 'no-cache',
    'Content-Type': mediaType,
    'X-Content-Type-Options': 'nosniff',
  };
}

/** PUT of a manifest (end-7a), or of one by digest with tags (end-7b). */
export async function putManifest(exchange: Exchange, route: ManifestRoute) {
  const { platform, actor, request, reply } = exchange;
  const repository = await openFor(exchange, route, 'push');
  const target = parseTarget(exchange, route.reference);
  const pushed = await pushManifest(platform, actor, repository, {
    ...target,
    bytes: await readManifest(exchange),
    contentType: request.raw.headers['content-type'] ?? '',
  });
  if (pushed.subject !== undefined) reply.header('OCI-Subject', pushed.subject);
  if (target.digest !== undefined && target.tags.length > 0) reply.header('OCI-Tag', target.tags.join(', '));
  return reply
    .code(201)
    .headers({
      Location: `/v2/${route.name}/manifests/${pushed.digest}`,
      'Docker-Content-Digest': pushed.digest,
      'Content-Length': '0',
    })
    .send();
}

type Target = { digest: Digest | undefined; tags: TagName[]; condition: TagCondition };

function parseTarget(exchange: Exchange, reference: string): Target {
  const tags = [...new Set(queryOf(exchange).getAll('tag'))].map(parseTagName);
  if (tags.length > tagsMax) {
    throw new Failure('too_large', `At most ${tagsMax} tags are taken at a time.`, { about: 'tag' });
  }
  if (reference.includes(':')) return { digest: parseDigest(reference), tags, condition: {} };
  if (tags.length > 0) {
    throw new Failure('invalid', 'The parameter "tag" needs a manifest that is pushed by its digest.', {
      about: 'tag',
    });
  }
  return { digest: undefined, tags: [parseTagName(reference)], condition: conditionOf(exchange) };
}

function conditionOf({ request }: Exchange): TagCondition {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
  const digest = ifMatch?.trim().replace(/^"(.*)"$/, '$1');
  return {
    ...(digest !== undefined && digest !== '*' && { ifMatch: digest }),
    ...(ifNoneMatch?.trim() === '*' && { ifAbsent: true }),
  };
}

/** The exact bytes. Refused by the announced length, or as soon as there are too many: never held to the end. */
async function readManifest(exchange: Exchange): Promise<Uint8Array> {
  const body = bodyOf(exchange);
  if ((body.length ?? 0) > manifestBytesMax) throw manifestTooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body.bytes) {
    size += chunk.length;
    if (size > manifestBytesMax) throw manifestTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function manifestTooLarge(): Failure {
  return new Failure('too_large', `A manifest may have ${manifestBytesMax} bytes at most.`, { about: 'manifest' });
}

/** DELETE of a manifest with its tags, or of a tag alone (end-9). */
export async function removeManifest(exchange: Exchange, route: ManifestRoute) {
  const { platform, actor, reply } = exchange;
  const repository = await openFor(exchange, route, 'delete');
  requireRepository(repository);
  const { reference } = route;
  if (isDigest(reference)) await deleteManifest(platform, actor, repository, reference, { refuseIfListed: false });
  else if (isTagName(reference)) await deleteTag(platform, actor, repository, reference);
  else throw manifestUnknown(reference);
  return reply.code(202).header('Content-Length', '0').send();
}
