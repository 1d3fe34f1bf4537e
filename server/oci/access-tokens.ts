import { createHash } from 'node:crypto';
import { compactVerify, errors, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import type { Access, Actor } from '#core/actors.ts';
import { newId } from '#core/ids.ts';
import type { LocalState } from '#core/local-state.ts';
import type { Platform, Region } from '#core/platform.ts';
import { findSigningKey, getSigningKey } from '#core/signing-keys.ts';

/** Clients must not need a new one in the middle of an ordinary push; docker takes anything below 60 s for 60 s. */
export const lifeSeconds = 300;
/** For clocks that differ: of clients that look inside, and of replicas. */
const leewaySeconds = 60;
/** As long as an upload may live: until then an expired token may still finish the one it began. */
const graceSeconds = 24 * 3600;

const algorithm = 'ES256';
const issuer = 'lading';
/** Above this the header no longer fits through common proxies. */
const tokenBytesMax = 8192;
/** Base64 makes 4 of 3; what else is in a token stays below 1,200 bytes. */
const accessBytesMax = 5000;
const cacheBytesMax = 16 * 2 ** 20;

/** What an access token says. Its signature is checked, its times are not. */
export type Claims = {
  iss: string;
  /** The actor's id; empty for anonymous. */
  sub: string;
  /** The region's host. */
  aud: string;
  iat: number;
  nbf: number;
  exp: number;
  jti: string;
  /** The generation of the actor's secret. */
  gen: number;
  access: readonly Access[];
};

export type SignedToken = { token: string; issuedAt: number; expiresInSeconds: number; access: readonly Access[] };

/** Signs what was granted, as much of it as one header can carry. It ends no later than what it was asked with. */
export async function signAccessToken(
  platform: Platform,
  { id, generation }: Pick<Actor, 'id' | 'generation'>,
  region: Region,
  granted: readonly Access[],
  notAfter: number | null = null,
): Promise<SignedToken> {
  const access = fitting(granted);
  const iat = Math.floor(platform.now() / 1000);
  const exp = Math.min(iat + lifeSeconds, notAfter === null ? Number.POSITIVE_INFINITY : Math.floor(notAfter / 1000));
  const claims: Claims = {
    iss: issuer,
    sub: id,
    aud: region.host,
    iat,
    nbf: iat - leewaySeconds,
    exp,
    jti: newId(),
    gen: generation,
    access,
  };
  const key = await getSigningKey(platform);
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: algorithm, typ: 'JWT', kid: key.id })
    .sign(key.privateKey);
  return { token, issuedAt: iat * 1000, expiresInSeconds: exp - iat, access };
}

function fitting(granted: readonly Access[]): Access[] {
  let bytes = 0;
  return granted.filter((one) => {
    bytes += Buffer.byteLength(JSON.stringify(one)) + 1;
    return bytes <= accessBytesMax;
  });
}

/** Whether it has the form of a JWT, so that it is never looked up as a secret. */
export function isAccessToken(text: string): boolean {
  return /^eyJ[\w-]*\.[\w-]*\.[\w-]*$/.test(text);
}

/** `expired`: the signature is good, and an upload begun with it may still be finished. */
export type Verified = { claims: Claims; isExpired: boolean };

/**
 * The claims of a token that we signed for this region; undefined for any other. The key is always ours, found by `kid`
 * alone: keys that a token brings along (`jwk`, `jku`, `x5c`) are not looked at, and the algorithm is not its choice.
 */
export async function verifyAccessToken(
  platform: Platform,
  region: Region,
  token: string,
): Promise<Verified | undefined> {
  if (token.length > tokenBytesMax) return undefined;
  const cache = cacheOf(platform.local);
  const hash = createHash('sha256').update(token).digest('base64');
  const claims = cache.get(hash) ?? (await verifySignature(platform, token));
  if (!claims) return undefined;
  cache.set(hash, claims, { size: token.length });
  // Asked again each time: a cached signature says nothing about the clock, nor about the host asked for now.
  const now = Math.floor(platform.now() / 1000);
  if (claims.iss !== issuer || claims.aud !== region.host) return undefined;
  if (claims.nbf > now + leewaySeconds || claims.exp + graceSeconds < now) return undefined;
  return { claims, isExpired: claims.exp + leewaySeconds <= now };
}

async function verifySignature(platform: Platform, token: string): Promise<Claims | undefined> {
  try {
    const { payload, protectedHeader } = await compactVerify(
      token,
      async ({ kid }) => {
        const key = typeof kid === 'string' ? await findSigningKey(platform, kid) : undefined;
        if (!key) throw new errors.JWKSNoMatchingKey();
        return key.publicKey;
      },
      { algorithms: [algorithm] },
    );
    if (protectedHeader.typ !== 'JWT') return undefined;
    return toClaims(JSON.parse(Buffer.from(payload).toString('utf8')));
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined;
    throw error;
  }
}

/** The signature is ours, yet a claim that is missing must not read as one that allows. */
function toClaims(payload: Partial<Claims> | null): Claims | undefined {
  if (payload === null || typeof payload !== 'object') return undefined;
  const { iss, sub, aud, jti, iat, nbf, exp, gen, access } = payload;
  const hasTexts = [iss, sub, aud, jti].every((text) => typeof text === 'string');
  const hasNumbers = [iat, nbf, exp, gen].every(Number.isFinite);
  return hasTexts && hasNumbers && Array.isArray(access) ? (payload as Claims) : undefined;
}

// By the process's memory, not by module: tests run several installations in one process.
const caches = new WeakMap<LocalState, LRUCache<string, Claims>>();

function cacheOf(local: LocalState): LRUCache<string, Claims> {
  const known = caches.get(local);
  if (known) return known;
  const made = new LRUCache<string, Claims>({ max: 10_000, maxSize: cacheBytesMax });
  caches.set(local, made);
  return made;
}
