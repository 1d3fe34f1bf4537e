import type { Failure } from '#core/failure.ts';
import type { ErrorWriter } from '#http/errors.ts';
import { ownStatusOf, statuses } from '#http/statuses.ts';

/** The vendor's names of fields that have others here. */
const fieldNames: Readonly<Record<string, string>> = {
  '/url': 'registryUrl',
  '/keyFile': 'keyfile',
  '/awsRegion': 'aws.region',
};

/** In the vendor's words for things, and the same for what never was and what is another team's. */
const missing: Readonly<Record<string, string>> = {
  connection: 'There are no such registry credentials.',
  team: 'There is no such team.',
};

/** `{"error":{"status":404,"message":"…","id":"not_found"}}`. */
export const writeNorthflankError: ErrorWriter = (failure, _request, reply) => {
  const retryAfter = failure?.detail.retryAfterSeconds;
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  if (failure?.reason === 'unauthenticated') reply.header('www-authenticate', 'Bearer realm="lading"');
  const status = ownStatusOf(failure) ?? (failure ? statuses[failure.reason] : 500);
  const message = failure ? toMessage(failure) : 'The server failed; its log says more. Please try again later.';
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .type('application/json')
    .send(JSON.stringify({ error: { status, message, id: failure?.reason ?? 'internal' } }));
};

function toMessage({ reason, message, detail: { about, fields = {} } }: Failure): string {
  if (reason === 'not_found') return missing[about ?? ''] ?? message;
  const [[pointer, said] = []] = Object.entries(fields);
  const name = about === 'connection' ? fieldNames[pointer ?? ''] : undefined;
  return name === undefined ? message : `${name} ${said}.`;
}
