import type { FastifyReply, FastifyRequest } from 'fastify';
import { Failure, type Reason } from '#core/failure.ts';

/** Answers a refusal in one surface's form. `undefined` is a bug: 500, without a word of what it was. */
export type ErrorWriter = (failure: Failure | undefined, request: FastifyRequest, reply: FastifyReply) => unknown;

/**
 * What was thrown, as a refusal that every surface can answer; undefined if it is a bug. Fastify's own refusals (a body
 * too large, JSON that is none, a malformed URL) become ours here, once for all surfaces.
 */
export function toFailure(error: unknown): Failure | undefined {
  if (error instanceof Failure) return error;
  if (!(error instanceof Error)) return undefined;
  const { code, statusCode, validation } = error as FastifyRefusal;
  if (validation) return new Failure('invalid', `${error.message}.`, { fields: fieldsOf(validation) });
  const known = code === undefined ? undefined : refusals[code];
  if (known) return new Failure(known[0], known[1]);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new Failure(statusCode === 413 ? 'too_large' : 'invalid', error.message);
  }
  return undefined;
}

type FastifyRefusal = {
  code?: string;
  statusCode?: number;
  validation?: readonly { instancePath: string; message?: string }[];
};

const refusals: Readonly<Record<string, readonly [Reason, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['too_large', 'The body is too large: at most 1 MiB of JSON is taken.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'invalid',
    'The body has a media type that is not taken here. Send application/json.',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid', 'The body is not as long as Content-Length says.'],
  FST_ERR_BAD_URL: ['invalid', 'The path of the request is malformed.'],
  FST_ERR_MAX_PARAM_LENGTH: ['invalid', 'A part of the path is too long.'],
  FST_ERR_ASYNC_CONSTRAINT: ['invalid', 'The request cannot be routed.'],
};

function fieldsOf(validation: readonly { instancePath: string; message?: string }[]) {
  return Object.fromEntries(validation.map((one) => [one.instancePath || '/', one.message ?? 'is not allowed']));
}
