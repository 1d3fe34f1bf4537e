import { Failure } from '#core/failure.ts';

/** SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) and node's codes for a lost connection. */
const connectionLost =
  /^(?:08...|57P0[1-5]|53300|25P03|ECONN(?:REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT)$/;
// `pg` gives these no code.
const connectionLostMessage =
  /connection terminated|connection error|connection has been discarded|query read timeout/i;
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
  const code = codeOf(error);
  const sentence = sentenceFor(code, error.message);
  if (sentence === undefined) return error;
  const retryAfterSeconds = code === '55P03' ? 1 : 5;
  return Object.assign(new Failure('unavailable', sentence, { retryAfterSeconds }), { code, cause: error });
}

/** Of a connection that was there: whether this error was its end. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof Failure) return false;
  const code = codeOf(error);
  return code === '' ? connectionLostMessage.test(error.message) : connectionLost.test(code);
}

/** The connection is there, and `query_timeout` has passed without an answer. */
export function isSilence(error: unknown): boolean {
  return error instanceof Error && /query read timeout/i.test(error.message);
}

/**
 * The connection of a transaction ended before its commit was sent. So nothing of it was done, whatever became of the
 * server, and `transact` may do all of it again.
 */
export function nothingDone(error: unknown): unknown {
  return isConnectionLost(error) ? Object.assign(translatePostgresError(error) as Failure, { isUndone: true }) : error;
}

/** The connection ended between a change and the word that it was made: only looking tells. So nobody repeats it here. */
export function perhapsDone(error: unknown): unknown {
  if (!isConnectionLost(error)) return error;
  const sentence =
    'The database went away while a change was being saved: it was made wholly or not at all. Try again.';
  return Object.assign(new Failure('unavailable', sentence, { retryAfterSeconds: 1 }), {
    code: 'perhaps done',
    cause: error,
  });
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function sentenceFor(code: string, message: string): string | undefined {
  if (connectionLost.test(code)) return unreachable;
  if (code !== '') return sentences[code];
  if (poolEmptyMessage.test(message)) return 'The database is busy: no connection came free in time. Try again.';
  return connectionLostMessage.test(message) ? unreachable : undefined;
}
