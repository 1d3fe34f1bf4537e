// What people give to open a registry, checked against what its provider takes. Values are never repeated in a refusal.

import { pathOf, readPlace, refuseConnection } from './connection-url.ts';
import { isObject } from './json-text.ts';
import { type Provider, providerRules } from './providers.ts';
import type { ConnectionSecret, HostCredentials } from './upstream.ts';

/** At most one of the three. `keyFile`: its text or the parsed document. An empty password is none. */
export type SecretInput = {
  username?: string | undefined;
  password?: string | undefined;
  keyFile?: unknown;
  auths?: unknown;
};

export type ParsedSecret = { username: string; secret: ConnectionSecret | null };

export const bringsSecret = ({ password, keyFile, auths }: SecretInput): boolean =>
  password !== undefined || keyFile !== undefined || auths !== undefined;

/** Throws `invalid` with the field at fault, in the words of the provider. */
export function parseSecret(provider: Provider, input: SecretInput): ParsedSecret {
  const given = (['password', 'keyFile', 'auths'] as const).filter((field) => input[field] !== undefined);
  if (given.length > 1) refuseConnection(given[1] ?? '', `is given beside ${given[0]}: send one of the two`);
  if (input.auths !== undefined) return parseAuths(provider, input.auths);
  const { username = '', password = '' } = input;
  requirePlainText('username', username, 255);
  if (input.keyFile !== undefined) return parseKeyFile(provider, username, input.keyFile);
  requirePlainText('password', password, passwordLengthMax);
  if (username === '' && password === '') return { username: '', secret: null };
  if (username === '') refuseConnection('username', 'is missing: a password alone opens nothing');
  if (password === '')
    refuseConnection('password', `is missing: a user name needs ${providerRules[provider].secretHint}`);
  return parsePassword(provider, { username, password });
}

// More fits into no header, and a pull secret has a thousand of them.
const passwordLengthMax = 16 * 1024;

function requirePlainText(field: string, text: string, lengthMax: number): void {
  // A key file has line ends; nothing else that cannot be printed belongs into a header.
  if (text.length > lengthMax || !text.isWellFormed() || /[^\P{Cc}\n\r\t]/u.test(text)) {
    refuseConnection(field, `must be at most ${lengthMax} characters, without control characters`);
  }
}

function parsePassword(provider: Provider, credentials: HostCredentials): ParsedSecret {
  const { username, password } = credentials;
  const rules = providerRules[provider];
  requireNoColon('username', username);
  if (rules.secret === 'key_file') return parseGoogle(provider, credentials);
  if (rules.secret === 'aws') requireAccessKey(credentials);
  if (username === '_json_key') return parseKeyFile(provider, username, password);
  if (/[\n\r\t]/.test(password)) refuseConnection('password', 'must be one line');
  return isSecretItself(credentials)
    ? { username: '', secret: { kind: 'password', password, username } }
    : { username, secret: { kind: 'password', password } };
}

/** DigitalOcean makes tokens that are user name and password alike. User names are shown and kept in the open: not these. */
const isSecretItself = ({ username, password }: HostCredentials): boolean => username === password;

/** Basic authentication ends the user name at the first colon. */
function requireNoColon(field: string, username: string): void {
  if (!/[:\s]/.test(username)) return;
  refuseConnection(
    field,
    field === 'username' ? 'must have no colon and no blank' : 'must have user names without a colon or a blank',
  );
}

function parseGoogle(provider: Provider, { username, password }: HostCredentials): ParsedSecret {
  if (username === '_json_key') return parseKeyFile(provider, username, password);
  if (username === '_json_key_base64') {
    readKeyFile(Buffer.from(password, 'base64').toString('utf8'), 'password');
  } else if (username !== 'oauth2accesstoken') {
    refuseConnection(
      'username',
      `must be _json_key for ${providerRules[provider].title}, with the key file as password`,
    );
  }
  return { username, secret: { kind: 'password', password } };
}

/** `AWS` comes with a token somebody fetched; it is passed on as it is. */
function requireAccessKey({ username, password }: HostCredentials): void {
  if (username === 'AWS') return;
  if (!/^A[KS]IA[A-Z0-9]{12,124}$/.test(username)) refuseConnection('username', 'must be an access key id (AKIA…)');
  if (!/^[A-Za-z0-9/+=]{16,256}$/.test(password)) {
    refuseConnection('password', 'must be the secret access key that belongs to the access key id');
  }
}

function parseKeyFile(provider: Provider, username: string, given: unknown): ParsedSecret {
  const { secret, title } = providerRules[provider];
  if (secret !== 'key_file' && provider !== 'oci') refuseConnection('keyFile', `is nothing that ${title} takes`);
  if (username !== '' && username !== '_json_key') refuseConnection('username', 'must be _json_key with a key file');
  const keyFile = typeof given === 'string' ? given : JSON.stringify(given);
  readKeyFile(keyFile, 'keyFile');
  return { username: '_json_key', secret: { kind: 'key_file', keyFile } };
}

function readKeyFile(text: string, field: string): void {
  const said = 'must be the JSON key file of a service account';
  if (text.length > passwordLengthMax) refuseConnection(field, `${said}, at most 16 KiB`);
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    refuseConnection(field, said);
  }
  const isKey = isObject(file) && file.type === 'service_account' && typeof file.private_key === 'string';
  if (!isKey) refuseConnection(field, `${said}: type service_account, with its private_key`);
}

const hostsMax = 20;
/** User names and passwords of all hosts together. */
const authsLengthMax = 32 * 1024;

/** The `auths` of a Docker config: hosts or URLs, each with `auth`, or with user name and password. */
function parseAuths(provider: Provider, given: unknown): ParsedSecret {
  if (provider === 'ecr') refuseConnection('auths', 'cannot be used with ECR: give an access key');
  const entries = isObject(given) ? Object.entries(given) : [];
  if (entries.length === 0 || entries.length > hostsMax) {
    refuseConnection('auths', `must be an object of 1 to ${hostsMax} hosts, as under auths in a Docker config.json`);
  }
  const auths = Object.fromEntries(entries.map(([key, entry]) => [parseKey(provider, key), parseEntry(entry)]));
  if (Object.keys(auths).length < entries.length) refuseConnection('auths', 'names a host twice');
  const length = Object.values(auths).reduce(
    (sum, { username, password }) => sum + username.length + password.length,
    0,
  );
  if (length > authsLengthMax) refuseConnection('auths', 'must be at most 32 KiB of user names and passwords together');
  const [first] = Object.values(auths);
  const isShown = first && entries.length === 1 && !isSecretItself(first);
  return { username: isShown ? first.username : '', secret: { kind: 'auths', auths } };
}

function parseKey(provider: Provider, key: string): string {
  const { host, scheme } = readPlace(key, 'auths');
  const { host: rule, title } = providerRules[provider];
  if (rule && !rule.pattern.test(host)) refuseConnection('auths', `must name ${rule.says} for ${title}`);
  if (scheme === 'http') refuseConnection('auths', 'must not name http:// URLs');
  // Such a login is for a part of the host; kept without its path it would be shown to all of it.
  if (pathOf(key) !== '') {
    refuseConnection(
      'auths',
      'must name hosts without a path: for a part of a host make a connection with its namespace',
    );
  }
  return host;
}

function parseEntry(entry: unknown): HostCredentials {
  const { username, password } = readEntry(entry) ?? {};
  if (typeof username !== 'string' || typeof password !== 'string' || username === '' || password === '') {
    refuseConnection('auths', 'must have auth (the base64 of user:password), or username and password, for each host');
  }
  requirePlainText('auths', username, 255);
  requirePlainText('auths', password, passwordLengthMax);
  requireNoColon('auths', username);
  return { username, password };
}

function readEntry(entry: unknown): { username: unknown; password: unknown } | undefined {
  if (!isObject(entry)) return undefined;
  if (typeof entry.auth !== 'string') return { username: entry.username, password: entry.password };
  const text = Buffer.from(entry.auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
