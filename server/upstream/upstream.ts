import type { Outbound } from '#core/outbound.ts';
import type { Upstream } from '#core/upstream.ts';

export function openUpstream(_outbound: Outbound): Upstream {
  return {
    check: () => Promise.reject(new Error('not built yet')),
    logIn: () => Promise.reject(new Error('not built yet')),
  };
}
