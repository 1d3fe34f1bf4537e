import type { Actor } from '#core/actors.ts';
import { listCatalog } from '#core/catalog.ts';
import { parseDigest } from '#core/digest.ts';
import { Failure } from '#core/failure.ts';
import { listReferrers } from '#core/referrers.ts';
import { requireRepository } from '#core/registry-access.ts';
import { listTagNames } from '#core/tags.ts';
import { type Exchange, linkNext, openFor, pageOf, queryOf, requireStorable } from './exchange.ts';
import type { Route } from './routes.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';

/** GET /v2/: who has come in. */
export async function ping({ actor, reply }: Exchange) {
  requireSignedIn(actor);
  return sendJson(reply, {});
}

/** GET /v2/_oci/ext/discover: there are none beyond the catalog, which is older than extensions. */
export async function listExtensions({ actor, reply }: Exchange) {
  requireSignedIn(actor);
  return sendJson(reply, { extensions: [] });
}

/** Anonymous callers are always challenged here, because clients learn nowhere else how to sign in. */
function requireSignedIn(actor: Actor): void {
  if (actor.kind !== 'anonymous' || actor.access !== null) return;
  throw new Failure('unauthenticated', 'Sign in: use an API key or a token as the password.');
}

/** GET of tags (end-8). */
export async function listTags(exchange: Exchange, route: Extract<Route, { kind: 'tags' | 'uploads' }>) {
  const { platform, reply } = exchange;
  const repository = await openFor(exchange, route, 'pull');
  requireRepository(repository);
  const page = pageOf(queryOf(exchange), { fallback: 1000, max: 1000 });
  if (page.limit === 0) return sendJson(reply, { name: route.name, tags: [] });
  const { names, hasMore } = await listTagNames(platform, repository, page);
  if (hasMore) linkNext(reply, `/v2/${route.name}/tags/list`, { last: names.at(-1) ?? '', n: String(page.limit) });
  return sendJson(reply, { name: route.name, tags: names });
}

/** GET of referrers (end-12): an index, always, also of what was never pushed. */
export async function showReferrers(exchange: Exchange, route: Extract<Route, { reference: string }>) {
  const { platform, reply } = exchange;
  const repository = await openFor(exchange, route, 'pull');
  const subject = parseDigest(route.reference);
  const query = queryOf(exchange);
  const artifactTypes = query.getAll('artifactType').filter((type) => type !== '');
  for (const type of artifactTypes) requireStorable(type, 'artifactType');
  const page = pageOf(query, { fallback: 1000, max: 1000 });
  const { referrers, next } = await listReferrers(platform, repository, subject, {
    artifactTypes,
    ...page,
    limit: Math.max(page.limit, 1),
  });
  if (artifactTypes.length > 0) reply.header('OCI-Filters-Applied', 'artifactType');
  if (next !== undefined) {
    linkNext(reply, `/v2/${route.name}/referrers/${subject}`, {
      artifactType: artifactTypes,
      last: next,
      n: String(page.limit),
    });
  }
  const index = { schemaVersion: 2, mediaType: indexType, manifests: referrers };
  return reply.header('Content-Type', indexType).send(Buffer.from(JSON.stringify(index)));
}

/** GET /v2/_catalog: what the caller may pull, rather than all or nothing. */
export async function showCatalog(exchange: Exchange) {
  const { platform, actor, region, reply } = exchange;
  if (actor.kind === 'anonymous' && actor.access === null) throw new Failure('unauthenticated', 'Sign in to list.');
  if (actor.access?.some((access) => access.type === 'registry' && access.name === 'catalog') === false) {
    throw new Failure('denied', 'This access token was not made for the catalog.', { isScopeTooSmall: true });
  }
  const page = pageOf(queryOf(exchange), { fallback: 100, max: 1000 });
  if (page.limit === 0) return sendJson(reply, { repositories: [] });
  const { names, hasMore } = await listCatalog(platform, actor, region, page);
  if (hasMore) linkNext(reply, '/v2/_catalog', { last: names.at(-1) ?? '', n: String(page.limit) });
  return sendJson(reply, { repositories: names });
}

function sendJson(reply: Exchange['reply'], value: object) {
  return reply.header('Content-Type', 'application/json').send(Buffer.from(JSON.stringify(value)));
}
