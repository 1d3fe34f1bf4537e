import { Failure } from '#core/failure.ts';
import type { S3Location } from './s3-bucket.ts';

type S3Error = Error & { code?: string; $metadata?: { httpStatusCode?: number } };

/** What clients are told of a fault, and what the operator can do about it. */
type Fault = { said: string; mend: string };

const full = {
  said: 'The storage that holds the images is full. Give it more space and try again.',
  mend: 'It is full: give it more space, or remove what is not needed.',
};
const refused = (mend: string) => ({
  said: 'The storage that holds the images refuses our credentials. The operator must mend that.',
  mend,
});
const denied = refused(
  'Its credentials may not do this: check AWS_ACCESS_KEY_ID, or wherever else they come from, and what the policies of the key and of the bucket allow.',
);
const unknownKey = refused(
  'The server does not know the access key: check AWS_ACCESS_KEY_ID and the endpoint in LADING_STORAGE_URL.',
);
const ended = refused('The credentials have ended: renew AWS_SESSION_TOKEN and the keys that belong to it.');
const silent = {
  said: 'The storage that holds the images does not answer as it should. Try again in a while.',
  mend: 'Check the endpoint in LADING_STORAGE_URL, and whether the server behind it is well.',
};
const slow = {
  said: 'The storage that holds the images asks us to slow down. Try again in a while.',
  mend: 'It asks us to slow down, and is asked again later.',
};
const otherPlace = {
  said: 'The storage that holds the images is elsewhere. The operator must mend that.',
  mend: 'Check the region (in LADING_STORAGE_URL, or AWS_REGION) and the endpoint in LADING_STORAGE_URL.',
};
const unknown = {
  said: 'The storage that holds the images refuses what it is asked. The operator must mend that.',
  mend: 'Check LADING_STORAGE_URL, and what the log of that server says.',
};

/** By the names that S3 and the servers that speak its language give their errors. */
const faults: Readonly<Record<string, Fault>> = {
  AccessDenied: denied,
  AllAccessDisabled: denied,
  AuthorizationHeaderMalformed: otherPlace,
  CredentialsProviderError: {
    said: 'No credentials for the storage that holds the images were found. The operator must set them.',
    mend: 'No credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another way that AWS clients know.',
  },
  ExpiredToken: ended,
  // A line that breaks off in our request, seen from the other end.
  IncompleteBody: silent,
  InsufficientStorage: full,
  InvalidAccessKeyId: unknownKey,
  NoSuchBucket: {
    said: 'The bucket that holds the images does not exist. The operator must make it, or name another one.',
    mend: 'Make the bucket, or check the name in LADING_STORAGE_URL.',
  },
  PermanentRedirect: otherPlace,
  QuotaExceeded: full,
  RequestTimeout: silent,
  RequestTimeTooSkewed: {
    said: 'The clocks of this server and of the storage that holds the images differ too much. Set them right.',
    mend: 'The clocks of this machine and of that server differ too much: set them right.',
  },
  SignatureDoesNotMatch: refused('AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID: check both.'),
  SlowDown: slow,
  XAdminUserNotFound: unknownKey,
  XMinioStorageFull: full,
};

/** What the operator can mend and what passes by itself becomes `unavailable`; what is left are bugs, and "not there". */
function translateS3Error(error: unknown): unknown {
  return toUnavailable(error, faultOf(error as S3Error));
}

function toUnavailable(error: unknown, fault: Fault | undefined): unknown {
  if (fault === undefined) return error;
  const detail = { retryAfterSeconds: 10, forOperator: fault.mend };
  const { name } = error as S3Error;
  return Object.assign(new Failure('unavailable', fault.said, detail), { code: name, cause: error });
}

/**
 * What leaves the store: whatever else the server has refused is `unavailable` too, for it is no bug of ours alone; and
 * the operator's sentence says where.
 */
export function nameStore(error: unknown, { bucket, endpoint }: Pick<S3Location, 'bucket' | 'endpoint'>): unknown {
  const isRefusal = !(error instanceof Failure) && (error as S3Error).$metadata?.httpStatusCode !== undefined;
  const failure = isRefusal ? toUnavailable(error, unknown) : error;
  // A stream that is written may come from another store, whose faults have their place already.
  if (!(failure instanceof Failure) || failure.detail.forOperator?.startsWith(begin) !== false) return failure;
  const at = endpoint ?? 'AWS';
  failure.detail.forOperator = `${begin}${bucket} at ${at} ${answerOf(failure.cause)}. ${failure.detail.forOperator}`;
  return failure;
}

const begin = 'The bucket ';

/** In the server's words, of which only what can be a code is shown. */
function answerOf(error: unknown): string {
  const { name, code, $metadata } = error as S3Error;
  const status = $metadata?.httpStatusCode;
  const isPlain = /^\w{1,60}$/.test(name) && !/^(?:UnknownError|Unknown|Error|\d+)$/.test(name);
  if (status !== undefined) return `answers ${isPlain ? `${name} (${status})` : `with status ${status}`}`;
  return `gives no answer${/^\w{1,60}$/.test(code ?? '') ? ` (${code})` : isPlain ? ` (${name})` : ''}`;
}

function faultOf({ name, code = '', $metadata }: S3Error): Fault | undefined {
  const status = $metadata?.httpStatusCode ?? 0;
  if (status === 507) return full;
  if (status === 429) return slow;
  const known = faults[name];
  if (known || status === 404) return known;
  if (status === 401 || status === 403) return denied;
  return status >= 500 || isBroken(name, code) ? silent : undefined;
}

/** No answer, or half of one, or what is none: connections (`ECONNRESET`), and node's parser of HTTP (`HPE_INVALID_…`). */
const isBroken = (name: string, code: string) =>
  name === 'TimeoutError' || name === 'AbortError' || /^(?:E[A-Z_]+|HPE_[A-Z_]+)$/.test(code);

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

/** Answers to HEAD have no body that could say what is missing, or why they refuse. */
export function isBareRefusal(error: unknown): boolean {
  const status = (error as S3Error).$metadata?.httpStatusCode ?? 0;
  return status >= 400 && status < 500;
}
