import type { Failure, Reason } from '#core/failure.ts';
import type { ErrorWriter } from '#http/errors.ts';

/**
 * The words that the vendor's own client knows. Any other word, and any key beside `code`, `message` and `issues`, makes
 * that client fail while it reads the refusal.
 */
type Code =
  | 'BAD_REQUEST'
  | 'UNAUTHORIZED'
  | 'FORBIDDEN'
  | 'NOT_FOUND'
  | 'METHOD_NOT_SUPPORTED'
  | 'CONFLICT'
  | 'PRECONDITION_FAILED'
  | 'PAYLOAD_TOO_LARGE'
  | 'TOO_MANY_REQUESTS'
  | 'INTERNAL_SERVER_ERROR';

const answers: Readonly<Record<Reason, readonly [number, Code]>> = {
  invalid: [400, 'BAD_REQUEST'],
  unauthenticated: [401, 'UNAUTHORIZED'],
  denied: [403, 'FORBIDDEN'],
  not_found: [404, 'NOT_FOUND'],
  conflict: [409, 'CONFLICT'],
  in_use: [409, 'CONFLICT'],
  limit: [403, 'FORBIDDEN'],
  too_large: [413, 'PAYLOAD_TOO_LARGE'],
  too_slow: [400, 'BAD_REQUEST'],
  range: [412, 'PRECONDITION_FAILED'],
  precondition: [412, 'PRECONDITION_FAILED'],
  unsupported: [405, 'METHOD_NOT_SUPPORTED'],
  throttled: [429, 'TOO_MANY_REQUESTS'],
  unavailable: [503, 'INTERNAL_SERVER_ERROR'],
};

/** Fields that have other names here. */
const words: Readonly<Record<string, string>> = { provider: 'kind', keyFile: 'password' };

/** `{"code", "message"}`, with `issues` where fields are at fault. */
export const writePaperspaceError: ErrorWriter = (failure, _request, reply) => {
  const [status, code] = failure ? answers[failure.reason] : [500, 'INTERNAL_SERVER_ERROR'];
  const retryAfter = failure?.detail.retryAfterSeconds;
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  if (failure?.reason === 'unauthenticated') reply.header('www-authenticate', 'Bearer realm="lading"');
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .type('application/json')
    .send(JSON.stringify(failure ? { code, ...toSentences(failure) } : { code, message: serverFault }));
};

const serverFault = 'The server failed; its log says more. Please try again later.';

function toSentences({ reason, message, detail }: Failure): { message: string; issues?: { message: string }[] } {
  if (reason === 'not_found' && detail.about === 'connection')
    return { message: 'There is no such container registry.' };
  const fields = Object.entries(detail.fields ?? {}).map(([pointer, said]) => [pointer.slice(1), said] as const);
  if (reason !== 'invalid' || fields.length === 0) return { message };
  const issues = fields.map(([field, said]) => ({ message: field === '' ? said : `${nameOf(field)}: ${said}` }));
  // A sentence made of a field and what is said of it begins with the field's name, which may be another one here.
  const own = fields.find(([field, said]) => message === `${field} ${said}.`);
  return { message: own ? `${nameOf(own[0])} ${own[1]}.` : message, issues };
}

const nameOf = (field: string) => words[field] ?? field;
