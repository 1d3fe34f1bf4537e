import type { Server } from 'node:http';

/** Whether this process is about to end, so that who chooses between several should choose another. */
export type Draining = { hasBegun: boolean };

/**
 * From then on each answer ends its connection: a load balancer that keeps connections opens its next one, and that goes
 * elsewhere. When the listener closes at last, nothing is open in which a request could get lost.
 */
export function bindDraining(server: Server, draining: Draining): void {
  server.prependListener('request', (_request, response) => {
    if (draining.hasBegun) response.setHeader('Connection', 'close');
  });
}
