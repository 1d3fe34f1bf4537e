import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Selectable } from 'kysely';
import type { Platform } from './platform.ts';
import type { SigningKeyRow } from './schema.ts';
import { sealContext, sealedIn } from './sealed-columns.ts';
import { transact } from './transact.ts';

/** The public half as JWKS publishes it (RFC 7517). */
export type PublicJwk = { kty: string; crv: string; x: string; y: string };

export type SigningKey = {
  /** RFC 7638 thumbprint of the public half: the `kid` of what it signs. */
  id: string;
  createdAt: number;
  publicJwk: PublicJwk;
  publicKey: KeyObject;
  privateKey: KeyObject;
};

export type SigningKeyCache = {
  keys: readonly SigningKey[];
  readAt: number;
  reading: Promise<readonly SigningKey[]> | undefined;
};

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const rotateEveryMs = 30 * dayMs;
const readEveryMs = minuteMs;
const rereadAtMostEveryMs = 1000;
/** A new key signs only once every replica has read it. */
const publishMs = 2 * minuteMs;
/** A replaced key stays as long as an upload may be finished with an expired access token, and an hour. */
const overlapMs = publishMs + dayMs + 60 * minuteMs;

/** The key to sign with now. Makes the first one, and a new one every 30 days. */
export async function getSigningKey(platform: Platform): Promise<SigningKey> {
  const keys = await listSigningKeys(platform);
  const published = keys.filter((key) => key.createdAt <= platform.now() - publishMs);
  const key = published.at(-1) ?? keys[0];
  if (!key) throw new Error('There is no signing key although one has just been made.');
  return key;
}

/** The key with this id. Reads again for an id that is not known, since another replica may just have made it. */
export async function findSigningKey(platform: Platform, id: string): Promise<SigningKey | undefined> {
  const known = (await listSigningKeys(platform)).find((key) => key.id === id);
  if (known || platform.now() - platform.local.signingKeys.readAt < rereadAtMostEveryMs) return known;
  return (await readOnce(platform)).find((key) => key.id === id);
}

/** All keys whose signatures are good, oldest first. */
export async function listSigningKeys(platform: Platform): Promise<readonly SigningKey[]> {
  const { keys, readAt } = platform.local.signingKeys;
  const isFresh = keys.length > 0 && platform.now() - readAt < readEveryMs;
  return isFresh ? keys : readOnce(platform);
}

/** Requests that come while the keys are being read share the one read. */
function readOnce(platform: Platform): Promise<readonly SigningKey[]> {
  const cache = platform.local.signingKeys;
  cache.reading ??= readKeys(platform).finally(() => {
    cache.reading = undefined;
  });
  return cache.reading;
}

async function readKeys(platform: Platform): Promise<readonly SigningKey[]> {
  const readAt = platform.now();
  let rows = await selectKeys(platform);
  if (isDue(rows, readAt)) rows = await rotateKeys(platform);
  const keys = rows.map((row) => openKey(platform, row));
  Object.assign(platform.local.signingKeys, { keys, readAt });
  return keys;
}

function isDue(rows: readonly Selectable<SigningKeyRow>[], now: number): boolean {
  const newest = rows.at(-1);
  return newest === undefined || newest.created_at <= now - rotateEveryMs;
}

function selectKeys({ db }: Platform): Promise<Selectable<SigningKeyRow>[]> {
  return db.selectFrom('signing_keys').selectAll().orderBy('created_at').orderBy('id').execute();
}

/** Never committed: inserting it makes the others wait at the primary key until this transaction ends. */
const turn = 'turn';

/**
 * Adds a key and removes the outlived ones. Processes that find the same key due take turns, and each asks again once
 * it is its turn, so exactly one of them makes the key; READ COMMITTED shows the others what the first committed.
 */
function rotateKeys(platform: Platform): Promise<Selectable<SigningKeyRow>[]> {
  const made = makeKey();
  return transact(platform, async (platform) => {
    const { db, now, secrets } = platform;
    const blank = { id: turn, public_jwk: '', sealed_private_jwk: '', created_at: 0 };
    await db.insertInto('signing_keys').values(blank).execute();
    await db.deleteFrom('signing_keys').where('id', '=', turn).execute();
    const rows = await selectKeys(platform);
    if (!isDue(rows, now())) return rows;
    const row = {
      id: made.id,
      public_jwk: JSON.stringify(made.publicJwk),
      sealed_private_jwk: secrets.seal(JSON.stringify(made.privateJwk), contextOf(made.id)),
      created_at: now(),
    };
    await db.insertInto('signing_keys').values(row).execute();
    const outlived = rows.filter((_, i) => (rows[i + 1]?.created_at ?? now()) <= now() - overlapMs);
    for (const { id } of outlived) await db.deleteFrom('signing_keys').where('id', '=', id).execute();
    return selectKeys(platform);
  });
}

const contextOf = (id: string) => sealContext(sealedIn.signingKeys, id);

function makeKey(): { id: string; publicJwk: PublicJwk; privateJwk: object } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const privateJwk = privateKey.export({ format: 'jwk' });
  const { kty, crv, x, y } = privateJwk as PublicJwk;
  const publicJwk = { kty, crv, x, y };
  return { id: thumbprint(publicJwk), publicJwk, privateJwk };
}

/** RFC 7638 section 3.2: the required members, in alphabetical order. */
function thumbprint({ crv, kty, x, y }: PublicJwk): string {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}

function openKey({ secrets }: Platform, row: Selectable<SigningKeyRow>): SigningKey {
  const publicJwk: PublicJwk = JSON.parse(row.public_jwk);
  const privateJwk = JSON.parse(secrets.open(row.sealed_private_jwk, contextOf(row.id)));
  return {
    id: row.id,
    createdAt: row.created_at,
    publicJwk,
    publicKey: createPublicKey({ key: publicJwk, format: 'jwk' }),
    privateKey: createPrivateKey({ key: privateJwk, format: 'jwk' }),
  };
}
