import { changeNamespace, parseNamespace } from './connection-namespace.ts';
import type { Row } from './connection-rows.ts';
import { bringsSecret, type ParsedSecret, parseSecret, type SecretInput } from './connection-secrets.ts';
import { type ConnectionPlace, parsePlace, pathOf, readPlace, refuseConnection } from './connection-url.ts';
import { Failure } from './failure.ts';
import { isUuid } from './names.ts';
import type { Platform } from './platform.ts';
import { type Provider, providerRules, providers } from './providers.ts';
import { parseDisplayName, toSlug } from './slugs.ts';
import type { ConnectionSecret } from './upstream.ts';

export type ConnectionInput = SecretInput & {
  name: string;
  description?: string | undefined;
  /** Several: what a surface's one word may stand for. The stored one stays, else it is the first that takes the host. */
  provider: string | readonly Provider[];
  /** Unless given, the first host of `auths`, or where registries of the provider are. */
  url?: string | undefined;
  namespace?: string | undefined;
  awsRegion?: string | null | undefined;
  tokenHost?: string | null | undefined;
};

/** What is not given stays as it is. */
export type ConnectionInputChange = { [Field in keyof ConnectionInput]?: ConnectionInput[Field] | undefined };

/** The columns that an input decides. */
export type ConnectionValues = Pick<
  Row,
  | 'name'
  | 'folded_name'
  | 'description'
  | 'provider'
  | 'url'
  | 'host'
  | 'namespace'
  | 'username'
  | 'aws_region'
  | 'token_host'
>;

/** Throws `invalid` with the field at fault. */
export function parseConnection(
  platform: Platform,
  input: ConnectionInput,
): ConnectionValues & { secret: ConnectionSecret | null } {
  const provider = chooseProvider(input.provider, input.url);
  const { username, secret } = parseSecret(provider, input);
  const place = parsePlace(platform, provider, input.url || defaultUrlOf(provider, secret));
  requireHostAmong(secret, place);
  return {
    ...parseNames(input.name),
    description: parseDescription(input.description ?? ''),
    provider,
    url: place.url,
    host: place.host,
    namespace: parseNamespace(input.namespace ?? '', place.url),
    username,
    aws_region: parseAwsRegion(input.awsRegion),
    token_host: parseTokenHost(input.tokenHost),
    secret,
  };
}

/**
 * What a change makes of a row; `secret` undefined: as it was, null: none from now on. Throws `invalid` where the stored
 * secret would reach a host that it was not given for.
 */
export function changeConnection(
  platform: Platform,
  current: Row,
  input: ConnectionInputChange,
): { values: ConnectionValues; secret: ConnectionSecret | null | undefined } {
  const stored = toStored(current.provider);
  const provider =
    input.provider === undefined ? stored : chooseProvider(input.provider, input.url || current.url, stored);
  const { username, secret } = changedSecret(provider, current, input);
  const url = input.url || (input.auths === undefined ? current.url : defaultUrlOf(provider, secret ?? null));
  const place =
    url === current.url && provider === current.provider ? readPlace(url) : parsePlace(platform, provider, url);
  if (secret) requireHostAmong(secret, place);
  const values = {
    ...(input.name === undefined ? { name: current.name, folded_name: current.folded_name } : parseNames(input.name)),
    description: input.description === undefined ? current.description : parseDescription(input.description),
    provider,
    url: place.url,
    host: place.host,
    namespace: changeNamespace(current, place.url, input.namespace),
    username,
    aws_region: input.awsRegion === undefined ? current.aws_region : parseAwsRegion(input.awsRegion),
    token_host: input.tokenHost === undefined ? current.token_host : parseTokenHost(input.tokenHost),
  };
  if (secret === undefined && current.sealed_secret !== null) requireSamePlace(current, values);
  return { values, secret };
}

const fieldsOf = {
  name: 'name',
  description: 'description',
  provider: 'provider',
  url: 'url',
  namespace: 'namespace',
  username: 'username',
  aws_region: 'awsRegion',
  token_host: 'tokenHost',
} as const;

/** The fields that are not as they were, in the words of an input. */
export function changedFields(current: Row, values: ConnectionValues): string[] {
  const columns = Object.keys(fieldsOf) as (keyof typeof fieldsOf)[];
  return columns.filter((column) => current[column] !== values[column]).map((column) => fieldsOf[column]);
}

/** Whether a test of the one says nothing of the other. */
export function leadsElsewhere(current: Row, values: ConnectionValues): boolean {
  const places = ['provider', 'url', 'namespace', 'username', 'aws_region', 'token_host'] as const;
  return places.some((column) => current[column] !== values[column]);
}

function requireSamePlace(current: Row, values: ConnectionValues): void {
  const [before, after] = [readPlace(current.url), readPlace(values.url)];
  const entered = `must be given again: it was entered for ${before.scheme}://${before.host}`;
  const isSame =
    before.host === after.host &&
    (before.scheme === after.scheme || after.scheme === 'https') &&
    current.provider === values.provider;
  if (!isSame) refuseConnection('password', entered);
  if (values.token_host === null || values.token_host === current.token_host) return;
  refuseConnection('password', `${entered}, and tokenHost has it sent to ${values.token_host} too`);
}

function changedSecret(
  provider: Provider,
  current: Row,
  input: ConnectionInputChange,
): { username: string; secret: ConnectionSecret | null | undefined } {
  if (bringsSecret(input)) {
    const username = input.username ?? (input.auths === undefined ? current.username : undefined);
    // Taking the password away takes the user name with it.
    const isTakenAway = input.password === '' && input.username === undefined;
    return parseSecret(provider, isTakenAway ? { ...input, username: '' } : { ...input, username });
  }
  const username = input.username ?? current.username;
  if (username !== current.username) requireNewUsername(provider, current, username);
  return { username, secret: undefined };
}

/** Another user name with the stored password. */
function requireNewUsername(provider: Provider, current: Row, username: string): void {
  const isFixed = current.username === '_json_key' || providerRules[provider].secret !== 'password';
  if (current.sealed_secret === null || isFixed) refuseConnection('password', 'must be given with another user name');
  if (username === '' || current.username === '') {
    refuseConnection('username', 'cannot be taken away or added alone: give a password too, an empty one for none');
  }
  const checked: ParsedSecret = parseSecret(provider, { username, password: `not ${username}` });
  if (checked.username !== username) throw new Error('A user name has changed by being checked.');
}

const toStored = (provider: string) => providers.find((one) => one === provider) ?? 'oci';

function parseProvider(text: string): Provider {
  const provider = providers.find((one) => one === text);
  return provider ?? refuseConnection('provider', `must be one of ${providers.join(', ')}`);
}

function chooseProvider(
  given: string | readonly Provider[],
  url: string | undefined,
  stored?: Provider | undefined,
): Provider {
  if (typeof given === 'string') return parseProvider(given);
  const candidates = stored !== undefined && given.includes(stored) ? [stored, ...given] : given;
  const host = url ? readPlace(url).host : undefined;
  const fitting = candidates.find((one) => host !== undefined && (providerRules[one].host?.pattern.test(host) ?? true));
  return fitting ?? candidates[0] ?? refuseConnection('provider', 'is missing');
}

function parseNames(text: string): { name: string; folded_name: string } {
  const name = parseDisplayName(text, 'connection');
  // Paths take an id or a slug, and people read names: neither may look like an id.
  if (isUuid(name.toLowerCase())) refuseConnection('name', 'must not have the form of a UUID');
  return { name, folded_name: name.toLowerCase() };
}

/** A name in letters that make no slug has one made of its id. */
export function toSlugOf(name: string, id: string): string {
  try {
    return toSlug(name, 'connection');
  } catch (error) {
    if (error instanceof Failure) return `connection-${id.slice(-12)}`;
    throw error;
  }
}

function parseDescription(text: string): string {
  if (text.length <= 1000 && text.isWellFormed() && !/[^\P{Cc}\n\r\t]/u.test(text)) return text;
  return refuseConnection('description', 'must be at most 1000 characters, without control characters');
}

function parseAwsRegion(text: string | null | undefined): string | null {
  if (!text) return null;
  return /^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$/.test(text)
    ? text
    : refuseConnection('awsRegion', 'must be one like eu-west-1');
}

function parseTokenHost(text: string | null | undefined): string | null {
  if (!text) return null;
  const { host, scheme } = readPlace(text, 'tokenHost');
  if (scheme === 'https' && pathOf(text) === '') return host;
  return refuseConnection('tokenHost', 'must be a host that speaks https, without a path');
}

function defaultUrlOf(provider: Provider, secret: ConnectionSecret | null): string {
  const { defaultUrl, title, host } = providerRules[provider];
  const first = secret?.kind === 'auths' ? Object.keys(secret.auths)[0] : undefined;
  return (
    first ??
    defaultUrl ??
    refuseConnection('url', `is missing: give ${host ? `${host.says} of` : 'the host of'} ${title}`)
  );
}

function requireHostAmong(secret: ConnectionSecret | null, { host }: ConnectionPlace): void {
  if (secret?.kind !== 'auths' || Object.hasOwn(secret.auths, host)) return;
  refuseConnection('url', 'must be one of the hosts in auths');
}
