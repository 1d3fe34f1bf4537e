import ipaddr from 'ipaddr.js';

export type AddressRange = ReturnType<typeof ipaddr.parseCIDR>;

/** How this installation is reached from outside, as its configuration says. */
export type Site = {
  /** `https://registry.example.com`, without a slash at its end; undefined where nobody said. */
  publicUrl: string | undefined;
  /** Listening on every address: no host name is ours more than another. */
  isWildcard: boolean;
  /** Peers whose forwarded headers count. */
  trustedProxies: readonly AddressRange[];
};

/** The site of an installation that nothing stands in front of. */
export const plainSite: Site = { publicUrl: undefined, isWildcard: false, trustedProxies: [] };

/** Throws on what is neither an address nor a CIDR range. */
export function parseAddressRange(text: string): AddressRange {
  if (text.includes('/')) return ipaddr.parseCIDR(text);
  const address = ipaddr.parse(text);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

export function isInRanges(address: string, ranges: readonly AddressRange[]): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  return ranges.some((range) => range[0].kind() === parsed.kind() && parsed.match(range));
}

export function isLoopback(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'loopback';
}
