import assert from 'node:assert/strict';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, createServer as createTcpServer } from 'node:net';
import { isFault, type OutboundAnswer, type OutboundFault } from '#core/outbound.ts';
import type { Scope } from './database.ts';

// Servers on loopback that are asked through the way out, and what came of it.

export async function listen(t: Scope, server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

export async function serve(t: Scope, handler: RequestListener) {
  let requests = 0;
  const server = createServer((request, response) => {
    requests++;
    handler(request, response);
  });
  let connections = 0;
  server.on('connection', () => connections++);
  const port = await listen(t, server);
  return { port, url: `http://127.0.0.1:${port}/`, requests: () => requests, connections: () => connections };
}

export function answerOf(result: OutboundAnswer | OutboundFault): OutboundAnswer {
  assert.ok(!isFault(result), JSON.stringify(result));
  return result;
}

export function faultOf(result: OutboundAnswer | OutboundFault): OutboundFault {
  assert.ok(isFault(result), JSON.stringify(result));
  return result;
}

export const textOf = ({ body }: OutboundAnswer) => Buffer.from(body).toString();
