import { createHash, randomBytes, randomUUID } from 'node:crypto';

let lastMs = 0;
let countInMs = 0;

/**
 * UUIDv7: sorts by creation, so ids are the tie-breaker of every order. Node's own are in no order within a millisecond;
 * here the twelve bits after the version count (RFC 9562, 6.2), and a clock that is set back does not turn the order round.
 */
export function newId(): string {
  const now = Date.now();
  if (now > lastMs) {
    lastMs = now;
    countInMs = 0;
  } else if (++countInMs > 0xfff) {
    lastMs++;
    countInMs = 0;
  }
  const time = lastMs.toString(16).padStart(12, '0');
  const count = countInMs.toString(16).padStart(3, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}${randomUUID().slice(18)}`;
}

/** An object key: random, never used again, spread over 256 folders by its first byte. */
export function newObjectKey(): string {
  const hex = randomBytes(20).toString('hex');
  return `${hex.slice(0, 2)}/${hex}`;
}

/** A secret that is only ever compared: recognisable prefix, 256 random bits. */
export function newSecret(kind: 'key' | 'token' | 'robot' | 'pull'): string {
  return `ldg_${kind}_${randomBytes(32).toString('base64url')}`;
}

/** Random secrets need no salt and no slow hash: 256 bits cannot be guessed. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
