import { type Actor, anonymous, findActorById, findActorBySecret } from '#core/actors.ts';
import { Failure } from '#core/failure.ts';
import type { Platform, Region } from '#core/platform.ts';
import { countRefusedSignIn } from '#core/refused-sign-ins.ts';
import { parseAuthorization } from '#http/authorization.ts';
import { isAccessToken, verifyAccessToken } from './access-tokens.ts';

/** A request, as far as it says who asks: its headers and its `Peer`. */
export type Presented = {
  headers: { authorization?: string | undefined };
  address: string;
  region: Region;
};

export type SignIn = {
  /** With an access token its `access` is set, and the token's id is the holder of leases. */
  actor: Actor;
  /** The secret, where one was shown: Basic's password or Bearer itself. */
  secret: string | undefined;
  /** When the access token ends that was shown instead. */
  tokenExpiresAt: number | null;
  /** Only with `orExpired`: the token's time, or its secret's, is over. */
  isExpired: boolean;
};

/** Who asks. Nothing shown is anonymous; what is shown and not good throws `unauthenticated`, never anonymous. */
export async function authenticate(platform: Platform, presented: Presented): Promise<Actor> {
  return (await signIn(platform, presented)).actor;
}

/**
 * Who asks on the routes of one upload session, where an expired token or secret is let through. What an expired sign-in
 * may do is decided by the upload: its principal, its generation, its age.
 */
export async function authenticateForUpload(
  platform: Platform,
  presented: Presented,
): Promise<{ actor: Actor; isExpired: boolean }> {
  const { actor, isExpired } = await signIn(platform, presented, { orExpired: true });
  return { actor, isExpired };
}

/**
 * The live actor of a good access token; undefined for everything else, good or bad. Refuses and counts nothing: that is
 * for `authenticate`, which must be asked then.
 */
export async function recognise(
  platform: Platform,
  { headers, address, region }: Presented,
): Promise<Actor | undefined> {
  const credentials = parseAuthorization(headers.authorization);
  if (credentials.scheme !== 'bearer' || !isAccessToken(credentials.secret)) return undefined;
  const verified = await verifyAccessToken(platform, region, credentials.secret);
  if (!verified || verified.isExpired || verified.claims.sub === '') return undefined;
  const { sub, gen, jti, access } = verified.claims;
  const actor = await findActorById(platform, sub, gen);
  return actor && { ...actor, access, holder: jti, address };
}

export async function signIn(platform: Platform, presented: Presented, { orExpired = false } = {}): Promise<SignIn> {
  const credentials = parseAuthorization(presented.headers.authorization);
  if (credentials.scheme === 'none') {
    const actor = { ...anonymous, address: presented.address };
    return { actor, secret: undefined, tokenExpiresAt: null, isExpired: false };
  }
  if (credentials.scheme === 'unreadable') throw badCredentials();
  const { secret } = credentials;
  if (credentials.scheme === 'bearer' && isAccessToken(secret)) {
    return signInByToken(platform, presented, secret, orExpired);
  }
  return signInBySecret(platform, secret, presented.address, { orExpired });
}

/** Throws `unauthenticated`, in the same words for unknown, revoked and expired secrets. */
export async function signInBySecret(
  platform: Platform,
  secret: string,
  address: string,
  { orExpired = false } = {},
): Promise<SignIn> {
  const actor = await findActorBySecret(platform, secret, { orExpired });
  if (!actor) {
    await countRefusedSignIn(platform, { secret }, address);
    throw badCredentials();
  }
  const isExpired = actor.expiresAt !== null && actor.expiresAt <= platform.now();
  return { actor: { ...actor, address }, secret, tokenExpiresAt: null, isExpired };
}

/** The token says who it is and what was granted; what the secret behind it allows now is asked anew each time. */
async function signInByToken(
  platform: Platform,
  { address, region }: Presented,
  token: string,
  orExpired: boolean,
): Promise<SignIn> {
  const verified = await verifyAccessToken(platform, region, token);
  if (!verified || (verified.isExpired && !orExpired)) throw badToken();
  const { sub, gen, jti, access, exp } = verified.claims;
  const narrowed = { access, holder: jti, address };
  const shown = { secret: undefined, tokenExpiresAt: exp * 1000 };
  if (sub === '') {
    // Nothing that anonymous may do outlives its token.
    if (verified.isExpired) throw badToken();
    return { ...shown, actor: { ...anonymous, ...narrowed }, isExpired: false };
  }
  const actor = await findActorById(platform, sub, gen, { orExpired });
  if (!actor) {
    await countRefusedSignIn(platform, { actorId: sub }, address);
    throw badToken();
  }
  const isSecretExpired = actor.expiresAt !== null && actor.expiresAt <= platform.now();
  return { ...shown, actor: { ...actor, ...narrowed }, isExpired: verified.isExpired || isSecretExpired };
}

function badCredentials(): Failure {
  return new Failure(
    'unauthenticated',
    'These credentials are not good here. Sign in with any user name and an API key or a token as the password.',
    { isBadToken: true },
  );
}

export function badToken(): Failure {
  return new Failure(
    'unauthenticated',
    'This access token is not good here, or no longer. Get a new one with your credentials.',
    { isBadToken: true },
  );
}
