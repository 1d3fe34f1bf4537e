import type { Outbound } from '#core/outbound.ts';
import { openOutbound } from '#outbound/outbound.ts';
import type { Scope } from '../database.ts';
import { makeAuthority } from './certificates.ts';
import { type ScriptedRegistry, startRegistry } from './registry.ts';

export type Internet = {
  /** The real one, with its guard, TLS and names. A name of this internet leads to its server's port on loopback. */
  outbound: Outbound;
  /** A server that has this name and its certificate. */
  serve(...names: string[]): Promise<ScriptedRegistry>;
};

/** Names that nobody here owns, answered on loopback by servers with certificates of an authority of this test. */
export function openInternet(t: Scope): Internet {
  const authority = makeAuthority(t);
  const ports = new Map<string, number>();
  const resolve = async (name: string) => (ports.has(name) ? [{ address: '127.0.0.1', family: 4 }] : []);
  const real = openOutbound({ allowed: [{ range: '127.0.0.0/8' }], resolve });
  return {
    outbound: (request) => {
      const url = new URL(request.url);
      const port = ports.get(url.hostname);
      // Port 443 is not a test's to listen on.
      if (port !== undefined && url.port === '') url.port = String(port);
      return real({ ...request, url: url.href, tls: { caPem: authority.caPem } });
    },
    async serve(...names) {
      const tls = authority.issue(names[0] ?? '', { altName: names.map((name) => `DNS:${name}`).join(',') });
      const registry = await startRegistry(t, { tls });
      for (const name of names) ports.set(name, registry.port);
      return Object.assign(registry, { host: names[0] ?? '', url: `https://${names[0]}` });
    },
  };
}
