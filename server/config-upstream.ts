import { isIP } from 'node:net';
import { Failure } from '#core/failure.ts';
import { parseAddressRange } from '#http/site.ts';

export type AllowedUpstream = { range: string } | { host: string; port: number | undefined };

/** Addresses, CIDR ranges, and hosts with or without a port. Throws `invalid`. */
export function parseUpstreamAllow(text: string): readonly AllowedUpstream[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map((entry) => toRange(entry) ?? toHost(entry) ?? refuse(entry));
}

function toRange(entry: string): AllowedUpstream | undefined {
  // Short forms (10.0.0 for 10.0.0.0) are as often slips of the pen.
  if (isIP(entry.split('/')[0] ?? '') === 0) return undefined;
  try {
    const [address, bits] = parseAddressRange(entry);
    return { range: `${address.toString()}/${bits}` };
  } catch {
    return undefined;
  }
}

const hostName = /^[a-z0-9_](?:[a-z0-9._-]{0,252})$/;

function toHost(entry: string): AllowedUpstream | undefined {
  const [, six, name, digits] = /^(?:\[([^\]]+)\]|([^:[\]/]+))(?::([0-9]{1,5}))?$/.exec(entry.toLowerCase()) ?? [];
  const host = (six ?? name ?? '').replace(/\.$/, '');
  const port = digits === undefined ? undefined : Number(digits);
  // What looks like an address and is none ("10.0.0", "1.2.3.4/40") must not become the name of a host.
  const isHost = six === undefined ? hostName.test(host) && !/^[0-9.]+$/.test(host) : isIP(six) === 6;
  const isAddressWithPort = isIP(host) !== 0 && port !== undefined;
  if ((!isHost && !isAddressWithPort) || (port !== undefined && (port < 1 || port > 65_535))) return undefined;
  return { host: isIP(host) === 6 ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host, port };
}

function refuse(entry: string): never {
  throw new Failure(
    'invalid',
    `${JSON.stringify(entry)} is neither an address, nor a range, nor a host. Use 10.0.0.0/8, 10.1.2.3, registry.internal or registry.internal:5000.`,
  );
}
