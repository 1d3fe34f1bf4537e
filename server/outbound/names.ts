// Looking up names. The system's resolver reads what the operator has in /etc/hosts and /etc/resolv.conf, but it holds a
// thread until it has an answer, nobody can call it off, and the connections of database and store need the same few
// threads. A team whose name servers are silent must not keep these from anybody.

import { lookup } from 'node:dns/promises';
import { getDomain } from 'tldts';

/** All addresses of a name; throws if it has none. Once the signal is given, nobody waits for them any more. */
export type Resolve = (
  hostname: string,
  signal: AbortSignal,
) => Promise<readonly { address: string; family: number }[]>;

export const resolveAll: Resolve = (hostname) => lookup(hostname, { all: true });

type Bounds = { together: number; ofDomain: number };

// Half of the threads may look up names (libuv); two of them are left to the rest of the process.
const threads = Number(process.env.UV_THREADPOOL_SIZE) || 4;
const boundsDefault: Bounds = { together: Math.max(1, Math.floor((threads + 1) / 2) - 2), ofDomain: 2 };

/** The same, a few names at a time and fewer of one registrable domain: whoever answers for it, answers for all of it. */
export function takingTurns(resolve: Resolve, { together, ofDomain }: Bounds = boundsDefault): Resolve {
  const running = new Map<string, number>();
  let total = 0;
  let waiting: { domain: string; signal: AbortSignal; begin: () => void }[] = [];

  const add = (domain: string, n: number) => {
    total += n;
    const ofThis = (running.get(domain) ?? 0) + n;
    if (ofThis === 0) running.delete(domain);
    else running.set(domain, ofThis);
  };
  const beginNext = () => {
    waiting = waiting.filter(({ domain, signal, begin }) => {
      if (signal.aborted) return false;
      if (total >= together || (running.get(domain) ?? 0) >= ofDomain) return true;
      add(domain, 1);
      begin();
      return false;
    });
  };

  return async (hostname, signal) => {
    const domain = getDomain(hostname) ?? hostname;
    const { promise, resolve: begin } = Promise.withResolvers<void>();
    waiting.push({ domain, signal, begin });
    beginNext();
    await promise;
    try {
      return await resolve(hostname, signal);
    } finally {
      add(domain, -1);
      beginNext();
    }
  };
}
