import { Failure, type Subject } from './failure.ts';

/** When a secret ends: at a time, or so long from now. */
export type Expiry = { at: number } | { lifetimeMs: number };

/** The last millisecond of the year 9999: later times have no RFC 3339 form. */
const latest = 253_402_300_799_999;

/** The columns that an expiry becomes; null never ends. Throws `invalid` for one that is past, or no time at all. */
export function toExpiryColumns(
  expiry: Expiry | null,
  now: number,
  about: Subject,
): { expires_at: number | null; lifetime_ms: number | null } {
  if (expiry === null) return { expires_at: null, lifetime_ms: null };
  const at = 'at' in expiry ? expiry.at : now + expiry.lifetimeMs;
  if (Number.isSafeInteger(at) && at > now && at <= latest) return { expires_at: at, lifetime_ms: at - now };
  throw new Failure('invalid', 'The expiry must be a time in the future, before the year 10000.', {
    about,
    fields: { '/expiresAt': 'must be in the future' },
  });
}
