import type { Server } from 'node:http';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

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

/** From the TCP handshake, by way of that of TLS, to the first bytes of a request, on a busy machine. */
const firstBytesMs = 500;

/**
 * Takes no more connections, and lets those that were just taken say what they want: the `close` of Node's HTTP server
 * counts a connection that has not spoken yet as idle and ends it, with the request that is on its way in it.
 */
export async function stopListening(server: Server): Promise<void> {
  if (!server.listening) return;
  net.Server.prototype.close.call(server);
  const open = await new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));
  if (open > 0) await delay(firstBytesMs);
}
