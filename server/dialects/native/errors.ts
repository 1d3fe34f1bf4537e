import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import type { Problem } from '#contract/problem.ts';
import type { Failure, Reason } from '#core/failure.ts';
import { type ErrorWriter, toFailure } from '#http/errors.ts';
import { ownStatusOf } from '#http/statuses.ts';

type Answer = { status: number; title: string };

const answers: Record<Reason, Answer> = {
  invalid: { status: 400, title: 'The request is not valid' },
  unauthenticated: { status: 401, title: 'Sign in with an API key' },
  denied: { status: 403, title: 'Not allowed' },
  not_found: { status: 404, title: 'Not found' },
  conflict: { status: 409, title: 'In conflict with what is there' },
  in_use: { status: 409, title: 'Still in use' },
  limit: { status: 403, title: 'A limit is reached' },
  too_large: { status: 413, title: 'Too large' },
  too_slow: { status: 408, title: 'Too slow' },
  range: { status: 416, title: 'The range does not fit' },
  precondition: { status: 412, title: 'It has changed meanwhile' },
  unsupported: { status: 405, title: 'Not offered here' },
  throttled: { status: 429, title: 'Too many requests' },
  unavailable: { status: 503, title: 'Not available now' },
};

const bug = { status: 500, title: 'Something went wrong on the server' };

/** Every refusal of this API as RFC 9457 `application/problem+json`. */
export const writeNativeError: ErrorWriter = (failure, request, reply) => {
  const { status: usual, title } = failure ? answers[failure.reason] : bug;
  const status = ownStatusOf(failure) ?? usual;
  const problem: Static<typeof Problem> = {
    type: `/problems/${failure?.reason ?? 'internal'}`,
    title,
    status,
    detail: failure?.message ?? 'This is a fault of the server, not of the request. Its log has the request id.',
    requestId: String(request.id),
    ...(failure && membersOf(failure)),
  };
  if (status === 401) reply.header('www-authenticate', challengeFor(failure));
  const retryAfter = failure?.detail.retryAfterSeconds;
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  return (
    reply
      .code(status)
      .header('cache-control', 'no-store')
      .type('application/problem+json')
      // Past the route's own serializer, which knows only what the route promised.
      .serializer((body: unknown) => body as string)
      .send(JSON.stringify(problem))
  );
};

/** Fastify's error handler of this surface: bugs are logged here, once, with the request's id. */
export function handleError(error: unknown, request: FastifyRequest, reply: FastifyReply): unknown {
  const failure = toFailure(error);
  if (!failure) request.log.error({ id: request.id, err: error }, 'a request of the native API failed');
  return writeNativeError(failure, request, reply);
}

function membersOf({ detail }: Failure): Partial<Static<typeof Problem>> {
  const { fields, used, limit, requested } = detail;
  return {
    ...(fields && { errors: Object.entries(fields).map(([pointer, text]) => ({ pointer, detail: text })) }),
    ...(used !== undefined && { used }),
    ...(limit !== undefined && { limit }),
    ...(requested !== undefined && { requested }),
  };
}

// Bearer only: a challenge for Basic would make browsers ask for a password and keep it.
function challengeFor(failure: Failure | undefined): string {
  return failure?.detail.isBadToken ? 'Bearer realm="lading", error="invalid_token"' : 'Bearer realm="lading"';
}
