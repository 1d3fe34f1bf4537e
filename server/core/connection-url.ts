import { Failure } from './failure.ts';
import type { Platform } from './platform.ts';
import { type Provider, providerRules } from './providers.ts';

/** Where a connection leads: the URL as it was given, and what is made of it. */
export type ConnectionPlace = { url: string; scheme: 'http' | 'https'; host: string };

/** Throws `invalid` and names the field; what was given is not repeated, because it may be a secret in the wrong place. */
export function refuseConnection(field: string, said: string): never {
  throw new Failure('invalid', `${field} ${said}.`, { about: 'connection', fields: { [`/${field}`]: said } });
}

const urlLengthMax = 2000;

/** `ghcr.io`, `registry.example.com:5000/path`, `https://…`; without a scheme it is https. Throws `invalid`. */
export function parsePlace(platform: Platform, provider: Provider, given: string, field = 'url'): ConnectionPlace {
  const place = readPlace(given, field);
  requireHostOf(provider, place.host, field);
  if (place.scheme === 'http') requirePlainHttp(platform, place.host, field);
  return place;
}

/** Without the rules of a provider or an operator: what was stored has passed them. */
export function readPlace(given: string, field = 'url'): ConnectionPlace {
  const text = given.trim();
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`;
  const isText = text.length <= urlLengthMax && text.isWellFormed();
  const url = isText && URL.canParse(full) ? new URL(full) : undefined;
  // The parser drops line ends and tabs wherever they stand; a person would read another host.
  if (!url || /[\s\p{Cc}]/u.test(text) || !isBare(url)) {
    return refuseConnection(field, 'must be a host, or https://, a host and perhaps a port, without a user or a query');
  }
  const scheme = url.protocol === 'http:' ? 'http' : 'https';
  return { url: given, scheme, host: url.host.replace(/\.(?=$|:)/, '') };
}

const hostName = /^(?:[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])$/;

/**
 * What a URL names below its host, without slashes around it: DigitalOcean's and Google's registries are written like
 * that. The paths of the registry API are nothing below it.
 */
export function pathOf(given: string): string {
  const text = given.trim();
  const { pathname } = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`);
  const path = pathname.replace(/^\/+|\/+$/g, '');
  return /^v[12]$/.test(path) ? '' : path;
}

/** A host and nothing that could be read as another. `*` is no host, but a wildcard to who reads a Docker config. */
const isBare = ({ protocol, username, password, search, hash, hostname }: URL): boolean =>
  /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === '' && hostName.test(hostname);

function requireHostOf(provider: Provider, host: string, field: string): void {
  const { host: rule, title } = providerRules[provider];
  if (rule && !rule.pattern.test(host)) refuseConnection(field, `must be ${rule.says} for ${title}`);
}

function requirePlainHttp({ config }: Platform, host: string, field: string): void {
  const { hostname, port } = new URL(`http://${host}`);
  if (config.allowsPlainHttp(hostname.replace(/^\[|\]$/g, ''), port === '' ? 80 : Number(port))) return;
  refuseConnection(
    field,
    'must be https://: http:// is for hosts that an operator has listed in LADING_UPSTREAM_ALLOW by this very name, or name:port; a range there is for addresses alone',
  );
}
