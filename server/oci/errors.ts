import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Access } from '#core/actors.ts';
import type { Failure, Reason, Subject } from '#core/failure.ts';
import { isRepositoryName } from '#core/names.ts';
import type { Platform } from '#core/platform.ts';
import type { ErrorWriter } from '#http/errors.ts';
import { peerOf } from '#http/peer.ts';
import type { Site } from '#http/site.ts';
import { challengeFor } from './challenge.ts';
import { parseRoute, type Route } from './routes.ts';
import { catalogScope, repositoryScope } from './scopes.ts';
import { describeSession } from './uploads.ts';

// The status and the code of each refusal (distribution-spec, "Error Codes"; clients act on both). MANIFEST_INVALID makes
// podman try other formats, so refusals that no format could change never have it.
type Answer = { status: number; code: string | Partial<Record<Subject | 'else', string>> };

const answers: Record<Reason, Answer> = {
  invalid: {
    status: 400,
    code: {
      name: 'NAME_INVALID',
      registry: 'NAME_INVALID',
      tag: 'NAME_INVALID',
      digest: 'DIGEST_INVALID',
      size: 'SIZE_INVALID',
      manifest: 'MANIFEST_INVALID',
      manifest_blob: 'MANIFEST_BLOB_UNKNOWN',
      upload: 'BLOB_UPLOAD_INVALID',
      else: 'UNSUPPORTED',
    },
  },
  unauthenticated: { status: 401, code: 'UNAUTHORIZED' },
  denied: { status: 403, code: 'DENIED' },
  not_found: {
    status: 404,
    code: {
      manifest: 'MANIFEST_UNKNOWN',
      tag: 'MANIFEST_UNKNOWN',
      blob: 'BLOB_UNKNOWN',
      upload: 'BLOB_UPLOAD_UNKNOWN',
      else: 'NAME_UNKNOWN',
    },
  },
  conflict: { status: 405, code: 'UNSUPPORTED' },
  in_use: { status: 405, code: 'UNSUPPORTED' },
  limit: { status: 403, code: 'DENIED' },
  too_large: { status: 413, code: 'MANIFEST_INVALID' },
  too_slow: { status: 408, code: 'SIZE_INVALID' },
  range: { status: 416, code: { upload: 'BLOB_UPLOAD_INVALID', else: 'SIZE_INVALID' } },
  precondition: { status: 412, code: 'DENIED' },
  unsupported: { status: 405, code: 'UNSUPPORTED' },
  throttled: { status: 429, code: 'TOOMANYREQUESTS' },
  unavailable: { status: 503, code: 'UNAVAILABLE' },
};

/** They stand in the URL, so it is that which is too long (end-7b). */
const tooManyTags: Answer = { status: 414, code: 'UNSUPPORTED' };
const tooManyHeaders: Answer = { status: 431, code: 'UNSUPPORTED' };

function answerTo({ reason, detail }: Failure): Answer {
  if (reason === 'too_large' && detail.about === 'tag') return tooManyTags;
  if (reason === 'too_large' && detail.about === 'header') return tooManyHeaders;
  return answers[reason];
}

/** Errors of `/v2` and `/token`. */
export function ociErrorWriter(platform: Platform, site: Site): ErrorWriter {
  return (failure, request, reply) => {
    reply.header('Docker-Distribution-Api-Version', 'registry/2.0');
    if (!failure) return send(reply, 500, [{ code: 'UNKNOWN', message: 'The server failed; its log says more.' }]);
    const { status, code } = answerTo(failure);
    const route = tryParseRoute(request.raw.url ?? '');
    const challenge = challengeFor(failure, peerOf(platform, site, request), scopesOf(route, request));
    if (challenge !== undefined) reply.header('WWW-Authenticate', challenge);
    addHeaders(reply, failure, route);
    return send(reply, challenge === undefined ? status : 401, entriesOf(failure, challenge ? 'UNAUTHORIZED' : code));
  };
}

function send(reply: FastifyReply, status: number, errors: object[]) {
  // Bytes: of a string Fastify would make the type `application/json; charset=utf-8`, which some old clients do not read.
  return reply
    .code(status)
    .header('Content-Type', 'application/json')
    .send(Buffer.from(JSON.stringify({ errors })));
}

/** Beyond this a manifest made of nothing but descriptors would get an answer longer than itself. */
const entriesMax = 1000;

function entriesOf({ message, detail }: Failure, code: Answer['code']): object[] {
  const name = typeof code === 'string' ? code : ((detail.about && code[detail.about]) ?? code.else ?? 'UNSUPPORTED');
  const missing = detail.missing?.slice(0, entriesMax);
  if (missing) return missing.map((digest) => ({ code: name, message, detail: { digest } }));
  const { used, limit, requested } = detail;
  return [{ code: name, message, ...(limit !== undefined && { detail: { used, limit, requested } }) }];
}

function addHeaders(reply: FastifyReply, { detail }: Failure, route: Route | undefined): void {
  if (detail.retryAfterSeconds !== undefined) reply.header('Retry-After', String(detail.retryAfterSeconds));
  if (detail.received !== undefined && route?.kind === 'upload') {
    reply.headers(describeSession(route.name, { id: route.id, received: detail.received }));
  }
}

function tryParseRoute(url: string): Route | undefined {
  try {
    return parseRoute(url);
  } catch {
    return undefined;
  }
}

/** What the request needed, for the challenge. A session is its pusher's own: even ending it takes no more than pushing. */
function scopesOf(route: Route | undefined, { method, raw }: FastifyRequest): Access[] {
  if (route?.kind === 'catalog') return [catalogScope];
  if (!route || !('name' in route)) return [];
  if (route.kind === 'upload') return [repositoryScope(route.name, 'push')];
  if (route.kind === 'uploads') return [repositoryScope(route.name, 'push'), ...sourceOf(raw.url ?? '', route.name)];
  if (method === 'DELETE') return [repositoryScope(route.name, 'delete')];
  return [repositoryScope(route.name, method === 'GET' || method === 'HEAD' ? 'pull' : 'push')];
}

/** The source of a mount: a client that learns its scopes here must get both repositories into one token. */
function sourceOf(url: string, target: string): Access[] {
  const from = new URL(url, 'http://localhost').searchParams.get('from') ?? '';
  return isRepositoryName(from) && from !== target ? [repositoryScope(from, 'pull')] : [];
}
