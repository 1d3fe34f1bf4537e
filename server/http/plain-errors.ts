import type { ErrorWriter } from './errors.ts';
import { ownStatusOf, statuses } from './statuses.ts';

/** What stands outside every surface: health, metrics, and paths that are nobody's. */
export const writePlainError: ErrorWriter = (failure, _request, reply) => {
  if (failure?.reason === 'unauthenticated') reply.header('www-authenticate', 'Bearer realm="lading"');
  return reply
    .code(ownStatusOf(failure) ?? (failure ? statuses[failure.reason] : 500))
    .header('cache-control', 'no-store')
    .type('application/json')
    .send(JSON.stringify({ error: failure?.message ?? 'This is a fault of the server; its log says more.' }));
};
