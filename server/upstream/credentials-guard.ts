import { isIP } from 'node:net';
import { parse } from 'tldts';
import { providerRules } from '#core/providers.ts';
import type { UpstreamTarget } from '#core/upstream.ts';

/**
 * Whether the token service that a registry names may be given the credentials: over TLS, or as openly as the registry
 * itself on the same host; and only where it has the registry's owner, its provider's, or was named by the connection.
 * Whoever gets between us and a registry would otherwise have them sent anywhere (CVE-2026-33540).
 */
export function mayHaveCredentials(realm: URL, registry: URL, target: UpstreamTarget): boolean {
  if (!isAsSecure(realm, registry)) return false;
  const isNamed = target.tokenHost !== null && hostOf(realm) === target.tokenHost.toLowerCase();
  return isNamed || providerRules[target.provider].tokenHosts.includes(hostOf(realm)) || hasSameOwner(realm, registry);
}

/** Encrypted, or no less so than the registry on the same host. */
export function isAsSecure(realm: URL, registry: URL): boolean {
  if (realm.protocol === 'https:') return true;
  return realm.protocol === 'http:' && registry.protocol === 'http:' && nameOf(realm) === nameOf(registry);
}

/**
 * The same registrable domain, where the public suffix list knows one. An address, `localhost` and names under endings of
 * somebody's own network tell nothing of who owns what: those must be the same host and port.
 */
function hasSameOwner(realm: URL, registry: URL): boolean {
  if (realm.host === registry.host && realm.protocol === registry.protocol) return true;
  const [domain, other] = [registrableDomain(nameOf(realm)), registrableDomain(nameOf(registry))];
  return domain !== null && domain === other;
}

function registrableDomain(name: string): string | null {
  if (isIP(name.replace(/^\[|\]$/g, '')) !== 0) return null;
  // With the private part of the list: a.github.io and b.github.io are two people's.
  const { domain, isIcann, isPrivate } = parse(name, { allowPrivateDomains: true });
  return isIcann || isPrivate ? domain : null;
}

const nameOf = (url: URL): string => url.hostname.replace(/\.$/, '');

const hostOf = (url: URL): string => (url.port === '' ? nameOf(url) : `${nameOf(url)}:${url.port}`);
