import type { Failure, Reason } from '#core/failure.ts';
import type { ErrorWriter } from '#http/errors.ts';
import { ownStatusOf } from '#http/statuses.ts';

/** `errors`: the vendor's form for whatever is wrong with what was asked. */
const answers: Readonly<Record<Reason, number | 'errors'>> = {
  invalid: 'errors',
  unauthenticated: 401,
  denied: 403,
  not_found: 404,
  conflict: 'errors',
  in_use: 'errors',
  limit: 'errors',
  too_large: 413,
  too_slow: 408,
  range: 'errors',
  precondition: 'errors',
  unsupported: 404,
  throttled: 429,
  unavailable: 503,
};

/** `{"errors": [sentences]}` with 400, `{"status", "error"}` with everything else. */
export const writeNodionError: ErrorWriter = (failure, _request, reply) => {
  const answer = ownStatusOf(failure) ?? (failure ? answers[failure.reason] : 500);
  const retryAfter = failure?.detail.retryAfterSeconds;
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  if (answer === 401) reply.header('www-authenticate', 'Bearer realm="lading"');
  const status = answer === 'errors' ? 400 : answer;
  const body =
    failure && answer === 'errors' ? { errors: toSentences(failure) } : { status, error: toText(failure, status) };
  return reply.code(status).header('cache-control', 'no-store').type('application/json').send(JSON.stringify(body));
};

/** The vendor's own words, where they are known. */
function toText(failure: Failure | undefined, status: number): string {
  if (status === 404) return 'Not Found';
  return failure?.message ?? 'The server failed; its log says more. Please try again later.';
}

/** Fields as sentences begin with them. */
const words: Readonly<Record<string, string>> = {
  name: 'Name',
  provider: 'Registry type',
  registry_type: 'Registry type',
  url: 'Hostname',
  hostname: 'Hostname',
  username: 'Username',
  password: 'Password',
  keyFile: 'Password',
};

/** Full sentences, each with what the field is called here. */
function toSentences({ reason, message, detail }: Failure): string[] {
  const fields = Object.entries(detail.fields ?? {}).map(([pointer, said]) => [pointer.slice(1), said] as const);
  const isPredicate = (said: string) => /^(?:must|is|can't|cannot|names)\b/.test(said);
  if (reason === 'invalid' && fields.length > 0 && fields.every(([, said]) => isPredicate(said))) {
    return fields.map(([field, said]) => toSentence(`${words[field] ?? field} ${said}`));
  }
  const [field = ''] = /^\w+/.exec(message) ?? [];
  return [toSentence(Object.hasOwn(words, field) ? message.replace(field, words[field] ?? field) : message)];
}

const toSentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
