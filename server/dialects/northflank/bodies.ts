// What Northflank's clients send, in both generations: the secret at the top (`username` and `password`, `keyfile` or
// `auths`), or in `credentials`.

import type { Connection } from '#core/connection-rows.ts';
import type { SecretInput } from '#core/connection-secrets.ts';
import type { ConnectionChange, NewConnection } from '#core/connections.ts';
import { Failure } from '#core/failure.ts';
import type { Provider } from '#core/providers.ts';
import { fieldOf, isFlag, isText, isTexts } from '#http/body-fields.ts';
import { toProviderWord } from './wire.ts';

type Taken = { provider: Provider; url?: string };

const taken: Readonly<Record<string, Taken>> = {
  dockerhub: { provider: 'dockerhub' },
  gcr: { provider: 'gcr' },
  'gcr-eu': { provider: 'gcr', url: 'eu.gcr.io' },
  'gcr-us': { provider: 'gcr', url: 'us.gcr.io' },
  gitlab: { provider: 'gitlab' },
  github: { provider: 'ghcr' },
  custom: { provider: 'oci' },
  acr: { provider: 'acr' },
  ecr: { provider: 'ecr' },
  gar: { provider: 'artifact-registry' },
};

/** Of the newer generation: the older one gives a URL with `custom` alone. */
const newWords = ['acr', 'ecr', 'gar'];

/** Throws `invalid`. */
export function fromAddBody(body: unknown): NewConnection {
  const name = parseName(fieldOf(body, 'name', isText));
  const word = fieldOf(body, 'provider', isText) ?? '';
  const { provider, url } = fromProviderWord(word);
  const { isOld, ...secret } = fromSecret(body);
  const given = fieldOf(body, 'registryUrl', isText) || undefined;
  const isFixed = url !== undefined || (isOld && word !== 'custom' && !newWords.includes(word));
  if (given !== undefined && isFixed) throw invalid('registryUrl', `is not for ${word}: give it with custom`);
  requireOwnSecret(body, secret);
  return {
    name,
    description: fieldOf(body, 'description', isText),
    provider,
    url: url ?? given,
    ...secret,
    awsRegion: provider === 'ecr' ? fieldOf(fieldOf(body, 'aws', isObject), 'region', isText) : undefined,
    projects: fromRestrictions(body),
  };
}

/** Only what may change: neither name nor provider. Throws `invalid`. */
export function fromUpdateBody(body: unknown): Omit<ConnectionChange, 'connection'> {
  if (body === undefined || body === null) {
    throw new Failure('invalid', 'The body is missing: send the fields that shall change.');
  }
  const { isOld: _, ...secret } = fromSecret(body);
  const url = fieldOf(body, 'registryUrl', isText) || undefined;
  return {
    description: fieldOf(body, 'description', isText),
    url,
    ...secret,
    projects: fromRestrictions(body),
    expect: (current) => requireMovable(current, url),
  };
}

/** A provider with a place of its own keeps it, or it would be another one. */
function requireMovable(current: Connection, url: string | undefined): void {
  const word = toProviderWord(current);
  if (url === undefined || url === current.url || word === 'custom' || word === 'gitlab') return;
  throw invalid('registryUrl', `cannot be changed with the provider ${word}`);
}

/** Stricter than the platform's own rule: names made here are ones that the vendor's identifiers can be made of. */
function parseName(name: string | undefined): string {
  if (name === undefined) throw invalid('name', 'is missing');
  if (name.length >= 3 && name.length <= 39 && /^[a-zA-Z](?:[- ]?[a-zA-Z0-9])*$/.test(name)) return name;
  throw invalid(
    'name',
    'has 3 to 39 letters and digits, with single spaces and dashes between them, and begins with a letter',
  );
}

function fromProviderWord(word: string): Taken {
  const known = Object.hasOwn(taken, word) ? taken[word] : undefined;
  if (known) return known;
  throw invalid('provider', `must be one of ${Object.keys(taken).join(', ')}`);
}

type Secret = Pick<SecretInput, 'username' | 'password' | 'keyFile' | 'auths'>;

function fromSecret(body: unknown): Secret & { isOld: boolean } {
  const old = {
    username: fieldOf(body, 'username', isText),
    password: fieldOf(body, 'password', isText),
    keyFile: fieldOf(body, 'keyfile', isObjectOrText),
    auths: fieldOf(body, 'auths', isObject),
  };
  const isOld = Object.values(old).some((value) => value !== undefined);
  const nested = fieldOf(body, 'credentials', isObject);
  if (nested && isOld)
    throw invalid('credentials', 'are given twice: send them in credentials, or beside it, not both');
  if (nested) {
    return { username: fieldOf(nested, 'username', isText), password: fieldOf(nested, 'password', isText), isOld };
  }
  // A key file has a user name of its own, whatever was stored before.
  return { ...old, ...(old.keyFile !== undefined && { username: old.username ?? '' }), isOld };
}

/** Credentials that a linked cloud account would give are nothing we have; beside real ones the link changes nothing. */
function requireOwnSecret(body: unknown, { username, password, keyFile, auths }: Secret): void {
  if (username || password || keyFile !== undefined || auths !== undefined) return;
  for (const field of ['integrationId', 'gcp', 'azure']) {
    if (fieldOf(body, field, isAnything) === undefined) continue;
    throw invalid(field, 'cannot stand for credentials: there are no cloud integrations here, give credentials');
  }
}

/** Undefined: as it is, or as the key may. Null: the whole team. */
function fromRestrictions(body: unknown): readonly string[] | null | undefined {
  const restrictions = fieldOf(body, 'restrictions', isObject);
  const restricted = fieldOf(restrictions, 'restricted', isFlag);
  const projects = fieldOf(restrictions, 'projects', isTexts) ?? [];
  if (restricted === undefined && projects.length > 0) {
    // The vendor's default is false: the whole team would get what was meant for some projects.
    throw invalid('restrictions.restricted', 'is missing: true for these projects alone, false for the whole team');
  }
  return restricted === false ? null : restricted && projects;
}

const isObject = {
  is: (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value),
  what: 'an object',
};
const isObjectOrText = {
  is: (value: unknown): value is object | string => isObject.is(value) || isText.is(value),
  what: 'an object',
};
const isAnything = { is: (_value: unknown): _value is unknown => true, what: 'anything' };

function invalid(field: string, said: string): Failure {
  return new Failure('invalid', `${field} ${said}.`, { fields: { [`/${field}`]: said } });
}
