import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** What the operator allowed although it is not public: addresses, or a host by name, on one port or all. */
export type AllowedUpstream = { range: string } | { host: string; port: number | undefined };

/** Where a connection shall go. `hostname` as `URL` writes it, without brackets and without a dot at its end. */
export type Target = { hostname: string; port: number; isTls: boolean };

export function targetOf(url: URL): Target {
  const isTls = url.protocol === 'https:';
  const hostname = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  return { hostname, port: url.port === '' ? (isTls ? 443 : 80) : Number(url.port), isTls };
}

/** For people: `name:port`. */
export const toText = ({ hostname, port }: Target): string =>
  hostname.includes(':') ? `[${hostname}]:${port}` : `${hostname}:${port}`;

export const isAddress = (hostname: string): boolean => isIP(hostname) !== 0;

/** Whether this address of the target may be connected to. Without TLS only what the operator allowed. */
export function mayReach(allowed: readonly AllowedUpstream[], target: Target, address: string): boolean {
  return isAllowed(allowed, target, address) || (target.isTls && isPublic(address));
}

/** Whether a host may be spoken to without TLS: by its name or its own address, whatever it resolves to. */
export const allowsPlainHttp =
  (allowed: readonly AllowedUpstream[]) =>
  (hostname: string, port: number): boolean =>
    isAddress(hostname)
      ? isAllowed(allowed, { hostname, port, isTls: false }, hostname)
      : allowed.some((entry) => 'host' in entry && isHostEntry(entry, { hostname, port, isTls: false }));

function isAllowed(allowed: readonly AllowedUpstream[], target: Target, address: string): boolean {
  return allowed.some((entry) => ('range' in entry ? isInRange(address, entry.range) : isHostEntry(entry, target)));
}

const isHostEntry = (entry: { host: string; port: number | undefined }, { hostname, port }: Target): boolean =>
  entry.host === hostname.toLowerCase() && (entry.port === undefined || entry.port === port);

function isInRange(address: string, range: string): boolean {
  const parsed = ipaddr.process(address);
  const cidr = ipaddr.parseCIDR(range);
  return cidr[0].kind() === parsed.kind() && parsed.match(cidr);
}

// Azure's wire server answers metadata on an address that no registry of special addresses lists.
const publicMetadata = ['168.63.129.16/32'];
// Everything else that IANA has not given out for the internet at large: also ::/96 with an IPv4 address inside.
const globalUnicast = '2000::/3';

/**
 * Whether anybody on the internet could reach it. `::ffff:10.0.0.1` is judged as the IPv4 address it is; what a
 * translator would make of an address (NAT64, 6to4, Teredo) is not guessed: none of them is public.
 */
export function isPublic(address: string): boolean {
  // A zone (fe80::1%eth0) belongs to link-local addresses alone.
  if (!ipaddr.isValid(address) || address.includes('%')) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== 'unicast') return false;
  if (parsed.kind() === 'ipv6') return isInRange(address, globalUnicast);
  return !publicMetadata.some((range) => isInRange(address, range));
}
