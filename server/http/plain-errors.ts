import type { Reason } from '#core/failure.ts';
import type { ErrorWriter } from './errors.ts';

const statuses: Readonly<Record<Reason, number>> = {
  invalid: 400,
  unauthenticated: 401,
  denied: 403,
  not_found: 404,
  conflict: 409,
  in_use: 409,
  limit: 403,
  too_large: 413,
  range: 416,
  precondition: 412,
  unsupported: 405,
  throttled: 429,
  unavailable: 503,
};

/** What stands outside every surface: health, metrics, and paths that are nobody's. */
export const writePlainError: ErrorWriter = (failure, _request, reply) => {
  if (failure?.reason === 'unauthenticated') reply.header('www-authenticate', 'Bearer realm="lading"');
  return reply
    .code(failure ? statuses[failure.reason] : 500)
    .header('cache-control', 'no-store')
    .type('application/json')
    .send(JSON.stringify({ error: failure?.message ?? 'This is a fault of the server; its log says more.' }));
};
