import type { Reason } from '#core/failure.ts';

/** What HTTP has for each reason, where a surface does not say otherwise. */
export const statuses: Readonly<Record<Reason, number>> = {
  invalid: 400,
  unauthenticated: 401,
  denied: 403,
  not_found: 404,
  conflict: 409,
  in_use: 409,
  limit: 403,
  too_large: 413,
  range: 416,
  precondition: 412,
  unsupported: 405,
  throttled: 429,
  unavailable: 503,
};
