import type { Failure } from '#core/failure.ts';
import type { ErrorWriter } from '#http/errors.ts';
import { ownStatusOf, statuses } from '#http/statuses.ts';

/** The vendor's own sentences; of the others it publishes none. */
const missing: Readonly<Record<string, string>> = {
  registry: 'Registry not found.',
  repository: 'Repository not found.',
  manifest: 'Image not found.',
  tag: 'Image not found.',
  token: 'Token not found.',
};

/** `{"error":"…"}`; of a fault of the server, whose key is another one in the vendor's API too, `{"message":"…"}`. */
export const writeSelectelError: ErrorWriter = (failure, _request, reply) => {
  const retryAfter = failure?.detail.retryAfterSeconds;
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  if (failure?.reason === 'unauthenticated') reply.header('www-authenticate', 'Bearer realm="lading"');
  return reply
    .code(ownStatusOf(failure) ?? (failure ? statuses[failure.reason] : 500))
    .header('cache-control', 'no-store')
    .type('application/json')
    .send(JSON.stringify(failure ? { error: toText(failure) } : { message: serverFault }));
};

const serverFault = 'The server failed; its log says more. Please try again later.';

function toText({ reason, message, detail }: Failure): string {
  return (reason === 'not_found' && missing[detail.about ?? '']) || message;
}
