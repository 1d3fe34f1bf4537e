import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Actor } from '#core/actors.ts';
import { Failure } from '#core/failure.ts';
import type { Body } from '#core/object-writing.ts';
import { isStorable } from '#core/page.ts';
import type { RegistryAction } from '#core/permissions.ts';
import type { Platform, Region } from '#core/platform.ts';
import { openRepository, type RepositoryAccess } from '#core/registry-access.ts';
import { refusalOf } from '#http/open-bodies.ts';
import { addressOf, regionOf } from '#http/peer.ts';
import { noteRequest } from '#http/request-notes.ts';
import { authenticate, authenticateForUpload } from './authenticate.ts';
import type { Route } from './routes.ts';

/** One request and its answer, as the endpoints see them. */
export type Exchange = {
  platform: Platform;
  request: FastifyRequest;
  reply: FastifyReply;
  region: Region;
  actor: Actor;
};

export type NamedRoute = Extract<Route, { name: unknown }>;

/** Signs in. On the routes of one upload session a token that ran out meanwhile is still good for its own upload. */
export async function openExchange(
  platform: Platform,
  route: Route,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Exchange> {
  const region = regionOf(platform, request);
  const presented = { headers: request.headers, address: addressOf(request), region };
  const actor =
    route.kind === 'upload'
      ? (await authenticateForUpload(platform, presented)).actor
      : await authenticate(platform, presented);
  noteRequest(request, {
    actor: describeActor(actor),
    ...('name' in route && { repository: route.name }),
  });
  return { platform, request, reply, region, actor };
}

/** For the log. */
export function describeActor({ kind, name }: Actor): string {
  return name === '' ? kind : `${kind} ${name}`;
}

export function openFor(
  { platform, actor, region }: Exchange,
  { name }: NamedRoute,
  action: RegistryAction,
): Promise<RepositoryAccess> {
  return openRepository(platform, actor, { region, name, action });
}

/** From the raw URL: decoded once. A raw `+` stays one, because media types have it and some clients do not encode it. */
export function queryOf({ request }: Exchange): URLSearchParams {
  const url = request.raw.url ?? '';
  const start = url.indexOf('?');
  return new URLSearchParams(start < 0 ? '' : url.slice(start + 1).replaceAll('+', '%2B'));
}

const restBytesMax = 64 * 1024 * 1024;

/** The request's body as it comes in. Taking less than all of it leaves the connection usable for the answer. */
export function bodyOf({ request }: Exchange): Body {
  const length = request.headers['content-length'];
  const isChunked = request.headers['transfer-encoding'] !== undefined;
  return {
    bytes: readBody(request),
    length: length !== undefined ? Number(length) : isChunked ? undefined : 0,
  };
}

async function* readBody({ raw }: FastifyRequest): AsyncIterable<Uint8Array> {
  try {
    yield* raw.iterator({ destroyOnReturn: false });
  } catch {
    throw new Failure('invalid', 'The connection was cut before the end of the body. Nothing of it was kept.', {
      about: 'size',
    });
  } finally {
    takeRest(raw);
  }
  const refusal = refusalOf(raw);
  if (refusal) throw refusal;
}

/**
 * What a refused body still has to come is taken and thrown away: the next request of the connection stands behind it,
 * and a connection that is ended at once may take the refusal with it. Who goes on sending all the same is cut off.
 */
function takeRest(raw: IncomingMessage): void {
  if (raw.complete || raw.destroyed) return;
  let left = restBytesMax;
  raw.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) raw.destroy();
  });
  raw.on('error', () => {});
  raw.resume();
}

/** Throws `invalid` for what a database refuses to compare with. */
export function requireStorable(value: string, parameter: string): void {
  if (isStorable(value)) return;
  throw new Failure('invalid', `The parameter "${parameter}" is too long or has a NUL in it.`, { about: 'page' });
}

/** `n` and `last` of the listings. A number above the maximum is lowered to it. Throws `invalid` about the page. */
export function pageOf(
  query: URLSearchParams,
  { fallback, max }: { fallback: number; max: number },
): { limit: number; after: string | undefined } {
  const n = query.get('n');
  if (n !== null && !/^[0-9]+$/.test(n)) {
    throw new Failure('invalid', `n is ${JSON.stringify(n.slice(0, 20))}. Use a whole number from 0 to ${max}.`, {
      about: 'page',
    });
  }
  const after = query.get('last') ?? undefined;
  if (after !== undefined) requireStorable(after, 'last');
  return { limit: n === null ? fallback : Math.min(Number(n), max), after };
}

/** `Link` to the next page, relative to the host, so that no proxy can make it wrong. */
export function linkNext(reply: FastifyReply, path: string, parameters: Record<string, string | string[]>): void {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, one);
  }
  reply.header('Link', `<${path}?${query}>; rel="next"`);
}
