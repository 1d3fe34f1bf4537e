import type { IncomingMessage } from 'node:http';
import proxyAddr from '@fastify/proxy-addr';
import type { FastifyRequest } from 'fastify';
import type { Platform, Region } from '#core/platform.ts';
import { isInRanges, type Site } from './site.ts';

/** Who speaks to us, and as whom they address us. Forwarded headers have counted already where they may (`app.ts`). */
export type Peer = {
  /** For the audit log; never empty. */
  address: string;
  region: Region;
  /** What realms and absolute links begin with, without a slash at its end. */
  baseUrl: string;
};

export function peerOf(platform: Platform, site: Site, request: FastifyRequest): Peer {
  return {
    address: addressOf(request),
    region: regionOf(platform, request),
    baseUrl: baseUrlOf(platform, site, request),
  };
}

/** Whose forwarded headers count. */
export function isTrustedProxy({ trustedProxies }: Site, address: string | undefined): boolean {
  return address !== undefined && trustedProxies.length > 0 && isInRanges(address, trustedProxies);
}

/** What Fastify would find out of a request that goes past it: the client behind listed proxies, and the host it asked for. */
export function senderOf(site: Site, request: IncomingMessage): { ip: string | undefined; host: string | undefined } {
  const { headers, socket } = request;
  if (!isTrustedProxy(site, socket.remoteAddress)) return { ip: socket.remoteAddress, host: headers.host };
  const forwardedHost = String(headers['x-forwarded-host'] ?? '');
  return {
    ip: proxyAddr(request, (address) => isTrustedProxy(site, address)),
    host: forwardedHost.slice(forwardedHost.lastIndexOf(',') + 1).trim() || headers.host,
  };
}

/** A connection that was reset early has no address any more, whatever Fastify's type says. */
export function addressOf({ ip }: { ip: string | undefined }): string {
  return ip?.replace(/^::ffff:(?=\d+\.)/, '') ?? 'unknown';
}

/** The region whose host was asked for; any other host is the first region. */
export function regionOf({ config }: Platform, asked: { host: string | undefined }): Region {
  const host = asked.host?.toLowerCase();
  const region = config.regions.find((one) => one.host === host) ?? config.regions[0];
  if (!region) throw new Error('There is no region: the configuration always has one.');
  return region;
}

// A name or IPv4 address, or an IPv6 address in brackets; then perhaps a port.
const hostSyntax = /^(?:[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/;

/**
 * A client is sent back under the name it used only if that name is ours, because it will send its credentials there:
 * otherwise whoever can forge `Host` (a shared cache, a rebinding page) chooses who receives them.
 */
export function baseUrlOf({ config }: Platform, site: Site, request: FastifyRequest): string {
  const host = request.host?.toLowerCase() ?? '';
  const isOurs =
    config.regions.some((region) => region.host === host) ||
    (site.publicUrl !== undefined && new URL(site.publicUrl).host === host);
  // A proxy may say anything here; whatever is not https is answered as http.
  const scheme = request.protocol === 'https' ? 'https' : 'http';
  if (isOurs) return `${scheme}://${host}`;
  if (site.publicUrl !== undefined) return site.publicUrl;
  if (site.isWildcard && hostSyntax.test(host)) return `${scheme}://${host}`;
  return `${scheme}://${listeningAddress(request)}`;
}

function listeningAddress({ socket }: FastifyRequest): string {
  const { localAddress = '127.0.0.1', localPort = 80 } = socket;
  return localAddress.includes(':') ? `[${localAddress}]:${localPort}` : `${localAddress}:${localPort}`;
}
