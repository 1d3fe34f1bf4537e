import type { Failure, Reason } from '#core/failure.ts';

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
  too_slow: 408,
  range: 416,
  precondition: 412,
  unsupported: 405,
  throttled: 429,
  unavailable: 503,
};

/** Of a refusal that has a status of its own within its reason, whatever the surface; undefined of all others. */
export function ownStatusOf(failure: Failure | undefined): number | undefined {
  return failure?.reason === 'too_large' && failure.detail.about === 'header' ? 431 : undefined;
}
