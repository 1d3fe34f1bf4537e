// Tokens in Selectel's words and forms. Pure.

import type { Expiry } from '#core/expiry.ts';
import { Failure } from '#core/failure.ts';
import type { Token, TokenMode } from '#core/token-rows.ts';
import { fieldOf, isFlag, isText, isTexts } from '#http/body-fields.ts';
import { toTime } from './wire.ts';

/** Go's zero time, where there is no expiry: clients written in Go send it, and every decoder of times reads it. */
const noTime = '0001-01-01T00:00:00Z';

/** Version 1 has no word for a token that never ends: the last second of the year 9999. */
const never = 253_402_300_799_000;

const hour = 3600_000;
const lifetimes = { '12h': 12 * hour, '1y': 365 * 24 * hour };
export const ttls = ['12h', '1y'] as const satisfies (keyof typeof lifetimes)[];

export const fromTtl = (ttl: keyof typeof lifetimes): Expiry => ({ lifetimeMs: lifetimes[ttl] });

/** In whole seconds; the rest is rounded up, so that a lifetime just begun is answered whole. */
export function toTokenV1({ expiresAt }: Token, now: number) {
  const end = expiresAt ?? never;
  return { expireAt: Math.floor(end / 1000), expireIn: Math.ceil((end - now) / 1000) };
}

export function toTokenV2({ id, name, mode, registryIds, status, createdAt, expiresAt, lastUsedAt }: Token) {
  return {
    createdAt: toTime(createdAt),
    expiration: { expiresAt: expiresAt === null ? noTime : toTime(expiresAt), isSet: expiresAt !== null },
    id,
    ...(lastUsedAt !== null && { lastUsedAt: toTime(lastUsedAt) }),
    name,
    scope: { allRegistries: registryIds === null, modeRW: mode === 'rw', registryIds: [...(registryIds ?? [])] },
    status,
  };
}

/** What `docker login` would write into `~/.docker/config.json`. */
export function toDockerConfig(baseUrl: string, secret: string) {
  const auth = Buffer.from(`token:${secret}`).toString('base64');
  return { auths: { [new URL(baseUrl).host]: { username: 'token', password: secret, auth } } };
}

const isObject = {
  is: (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value),
  what: 'an object',
};

/** Only what the body says, so that a change leaves the rest as it is. Throws `invalid`. */
export function fromTokenBody(body: unknown): {
  name: string | undefined;
  expiry: Expiry | null | undefined;
  mode: TokenMode | undefined;
  registryIds: readonly string[] | null | undefined;
} {
  const scope = fieldOf(body, 'scope', isObject);
  const modeRW = fieldOf(scope, 'modeRW', isFlag);
  const expiration = fieldOf(body, 'expiration', isObject);
  return {
    name: fieldOf(body, 'name', isText),
    expiry: expiration && fromExpiration(expiration),
    mode: modeRW === undefined ? undefined : modeRW ? 'rw' : 'ro',
    registryIds: fromRegistries(scope),
  };
}

/** A creation must say how long, what and where; a token made by leaving something out would be wider than meant. */
export function fromNewToken(body: unknown) {
  const { name, expiry, mode, registryIds } = fromTokenBody(body);
  if (expiry === undefined) throw lacks('expiration', 'with isSet, and expiresAt where that is true');
  if (mode === undefined) throw lacks('scope/modeRW', 'true to push and delete, false only to pull');
  if (registryIds === undefined) throw lacks('scope/allRegistries', 'true, or false with registryIds');
  return { name, expiry, mode, registryIds };
}

/** The new end of a token: `{"expiration": {…}}` as documented, or its inside alone, as the vendor's own client sends. */
export function fromRenewal(body: unknown): Expiry | null {
  return fromExpiration(fieldOf(body, 'expiration', isObject) ?? body);
}

/** `expiresAt` counts only where `isSet` is true: without an expiry, clients send the year 1 in it. */
function fromExpiration(expiration: unknown): Expiry | null {
  const isSet = fieldOf(expiration, 'isSet', isFlag);
  const expiresAt = fieldOf(expiration, 'expiresAt', isText);
  if (isSet === undefined) throw lacks('expiration/isSet', 'true or false');
  if (!isSet) return null;
  if (expiresAt === undefined) throw lacks('expiration/expiresAt', 'a time like 2030-01-01T00:00:00Z');
  return { at: parseTime(expiresAt) };
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/i;

function parseTime(text: string): number {
  const ms = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new Failure('invalid', 'expiration.expiresAt must be a time like 2030-01-01T00:00:00Z.', {
    about: 'token',
    fields: { '/expiration/expiresAt': 'not a time' },
  });
}

/** null: all of them. `allRegistries` wins over a list; without it, the list says which. */
function fromRegistries(scope: object | undefined): readonly string[] | null | undefined {
  const allRegistries = fieldOf(scope, 'allRegistries', isFlag);
  const registryIds = fieldOf(scope, 'registryIds', isTexts);
  if (allRegistries) return null;
  return allRegistries === false ? (registryIds ?? []) : registryIds;
}

function lacks(field: string, what: string): Failure {
  const name = field.replace('/', '.');
  return new Failure('invalid', `${name} is missing: ${what}.`, {
    about: 'token',
    fields: { [`/${field}`]: 'is missing' },
  });
}
