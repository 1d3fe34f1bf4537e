import { Failure } from '#core/failure.ts';

const sentences: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk that holds the images is full. Free some space and try again.',
  EDQUOT: 'The disk quota for the images is used up. Raise it or free some space and try again.',
  EROFS: 'The disk that holds the images is mounted read-only. Mount it writable and try again.',
};

/** What the operator can mend becomes `unavailable`. */
export function translateDiskError(error: unknown): unknown {
  const { code = '' } = error as NodeJS.ErrnoException;
  const sentence = sentences[code];
  if (sentence === undefined) return error;
  return Object.assign(new Failure('unavailable', sentence, { retryAfterSeconds: 60 }), { code, cause: error });
}
