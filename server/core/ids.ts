import { createHash, randomBytes, randomUUIDv7 } from 'node:crypto';

/** UUIDv7: sorts by creation, so ids are the tie-breaker of every order. */
export function newId(): string {
  return randomUUIDv7();
}

/** An object key: random, never used again, spread over 256 folders by its first byte. */
export function newObjectKey(): string {
  const hex = randomBytes(20).toString('hex');
  return `${hex.slice(0, 2)}/${hex}`;
}

/** A secret that is only ever compared: recognisable prefix, 256 random bits. */
export function newSecret(kind: 'key' | 'token' | 'robot'): string {
  return `ldg_${kind}_${randomBytes(32).toString('base64url')}`;
}

/** Random secrets need no salt and no slow hash: 256 bits cannot be guessed. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
