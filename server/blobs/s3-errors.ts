import { Failure } from '#core/failure.ts';

type S3Error = Error & { code?: string; $metadata?: { httpStatusCode?: number } };

const full = 'The storage that holds the images is full. Give it more space and try again.';
const refused = 'The storage that holds the images refuses our credentials. The operator must mend that.';

const silent = 'The storage that holds the images does not answer as it should. Try again in a while.';
const slow = 'The storage that holds the images asks us to slow down. Try again in a while.';

/** By the names that S3 and the servers that speak its language give their errors. */
const sentences: Readonly<Record<string, string>> = {
  AccessDenied: refused,
  AllAccessDisabled: refused,
  CredentialsProviderError:
    'No credentials for the storage that holds the images were found. The operator must set them.',
  ExpiredToken: refused,
  // A line that breaks off in our request, seen from the other end.
  IncompleteBody: silent,
  InsufficientStorage: full,
  InvalidAccessKeyId: refused,
  NoSuchBucket: 'The bucket that holds the images does not exist. The operator must make it, or name another one.',
  QuotaExceeded: full,
  RequestTimeout: silent,
  RequestTimeTooSkewed:
    'The clocks of this server and of the storage that holds the images differ too much. Set them right.',
  SignatureDoesNotMatch: refused,
  SlowDown: slow,
  XMinioStorageFull: full,
};

/** What the operator can mend and what passes by itself becomes `unavailable`; what is left are bugs, and "not there". */
export function translateS3Error(error: unknown): unknown {
  const sentence = sentenceOf(error as S3Error);
  if (sentence === undefined) return error;
  const { name } = error as S3Error;
  return Object.assign(new Failure('unavailable', sentence, { retryAfterSeconds: 10 }), { code: name, cause: error });
}

function sentenceOf({ name, code = '', $metadata }: S3Error): string | undefined {
  const status = $metadata?.httpStatusCode ?? 0;
  if (status === 507) return full;
  if (status === 429) return slow;
  return sentences[name] ?? (status >= 500 || isBroken(name, code) ? silent : undefined);
}

/** No answer, or half of one, or what is none: connections (`ECONNRESET`), and node's parser of HTTP (`HPE_INVALID_…`). */
const isBroken = (name: string, code: string) => name === 'TimeoutError' || /^(?:E[A-Z_]+|HPE_[A-Z_]+)$/.test(code);

export function rethrow(error: unknown): never {
  throw translateS3Error(error);
}

/**
 * The one answer that means "not there". A bare 404 does not: a bucket that is missing, or a proxy in between, says the
 * same, and whoever believed it would take every image for lost.
 */
export function isNoSuchKey(error: unknown): boolean {
  const { name, $metadata } = error as S3Error;
  return name === 'NoSuchKey' && $metadata?.httpStatusCode === 404;
}

export function isNoSuchUpload(error: unknown): boolean {
  return (error as S3Error).name === 'NoSuchUpload';
}

/** Answers to HEAD have no body that could say what is missing. */
export function isBareNotFound(error: unknown): boolean {
  return (error as S3Error).$metadata?.httpStatusCode === 404;
}
