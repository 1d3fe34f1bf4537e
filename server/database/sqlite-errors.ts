import { Failure } from '#core/failure.ts';

// Primary result codes, https://sqlite.org/rescode.html
const busy = 5;
const readOnly = 8;
const ioError = 10;
const full = 13;
const cannotOpen = 14;

/** Extended codes that callers tell apart, by the names SQLite gives them. */
const names: Readonly<Record<number, string>> = {
  [busy]: 'SQLITE_BUSY',
  [readOnly]: 'SQLITE_READONLY',
  [ioError]: 'SQLITE_IOERR',
  [full]: 'SQLITE_FULL',
  [cannotOpen]: 'SQLITE_CANTOPEN',
  787: 'SQLITE_CONSTRAINT_FOREIGNKEY',
  1555: 'SQLITE_CONSTRAINT_PRIMARYKEY',
  2067: 'SQLITE_CONSTRAINT_UNIQUE',
};

const sentences: Readonly<Record<number, string>> = {
  [busy]: 'Another process is writing to the database. Try again.',
  [ioError]: 'The disk that holds the database reports an error.',
  [full]: 'The disk that holds the database is full. Free some space and try again.',
};

type SqliteError = Error & { code?: string; errcode?: number };

/** Gives an error of SQLite its name as `code`; what the operator can mend becomes `unavailable`. */
export function translateSqliteError(error: unknown): unknown {
  const { errcode } = error as SqliteError;
  if (typeof errcode !== 'number') return error;
  const code = names[errcode] ?? names[errcode & 0xff] ?? `SQLITE_${errcode}`;
  const sentence = sentences[errcode & 0xff];
  if (sentence === undefined) return Object.assign(error as SqliteError, { code });
  return Object.assign(new Failure('unavailable', sentence, { retryAfterSeconds: 5 }), { code, cause: error });
}
