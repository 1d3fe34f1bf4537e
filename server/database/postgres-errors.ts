import { Failure } from '#core/failure.ts';

/** SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) and node's codes for a lost connection. */
const connectionLost =
  /^(?:08...|57P0[1-5]|53300|25P03|ECONN(?:REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT)$/;
// `pg` gives these no code.
const connectionLostMessage = /connection terminated|connection error|connection has been discarded/i;
const poolEmptyMessage = /timeout exceeded when trying to connect/;

const unreachable = 'The database cannot be reached. Try again.';

const sentences: Readonly<Record<string, string>> = {
  '53100': 'The disk of the database server is full. Free some space and try again.',
  '55P03': 'The database is busy with other changes to the same rows. Try again.',
  '57014': 'The database took too long to answer. Try again.',
};

/** What the operator can mend, or time, becomes `unavailable`; the SQLSTATE stays in `code` for `transact`. */
export function translatePostgresError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Failure) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const sentence = sentenceFor(code, error.message);
  if (sentence === undefined) return error;
  const retryAfterSeconds = code === '55P03' ? 1 : 5;
  return Object.assign(new Failure('unavailable', sentence, { retryAfterSeconds }), { code, cause: error });
}

function sentenceFor(code: string, message: string): string | undefined {
  if (connectionLost.test(code)) return unreachable;
  if (code !== '') return sentences[code];
  if (poolEmptyMessage.test(message)) return 'The database is busy: no connection came free in time. Try again.';
  return connectionLostMessage.test(message) ? unreachable : undefined;
}
