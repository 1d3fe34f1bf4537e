import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer as createPlain } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import type { Scope } from '#test/database.ts';
import { makeAuthority } from '#test/servers/certificates.ts';
import { openConnections } from './s3-connections.ts';

const MiB = 2 ** 20;

/** A server with a certificate that this process trusts meanwhile; where it is. */
async function startTls(t: Scope, listener: RequestListener): Promise<string> {
  const authority = makeAuthority(t);
  const { certificatePem: cert, keyPem: key } = authority.issue('localhost', { altName: 'DNS:localhost' });
  const trusted = getCACertificates();
  setDefaultCACertificates([...trusted, authority.caPem]);
  const server = createServer({ cert, key }, listener).listen(0, 'localhost');
  t.after(() => {
    setDefaultCACertificates(trusted);
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  return `localhost:${(server.address() as AddressInfo).port}`;
}

// What would break without the name: stores behind a proxy for many hosts answer with another one's certificate.
test('over TLS the server hears which host is meant, and gives every byte on connections that stay', async (t) => {
  const bytes = randomBytes(2 * MiB);
  const seen = new Set<TLSSocket>();
  const host = await startTls(t, ({ socket }, response) => {
    seen.add(socket as TLSSocket);
    response.setHeader('content-length', bytes.length).end(bytes);
  });
  const connections = openConnections(`https://${host}`);
  t.after(() => connections.close());
  const question = { method: 'GET', path: '/a', headers: { host }, body: null, headersTimeout: 10_000 } as const;
  for (let n = 0; n < 5; n++) {
    const answer = await connections.ask(question);
    assert.equal(answer?.status, 200);
    assert.ok(Buffer.concat(await answer.body.toArray()).equals(bytes));
  }
  // The first is free again a turn after its answer.
  assert.ok(seen.size <= 2, `${seen.size} connections`);
  for (const { servername } of seen) assert.equal(servername, 'localhost');
});

test('a body may take longer than an answer, as long as the server takes some of it; one that takes none is given up', async (t) => {
  let isTaking = true;
  const server = createPlain(async (request, response) => {
    let due = 0;
    for await (const { length } of request) {
      due += length;
      if (due < 4 * MiB) continue;
      due = 0;
      await (isTaking ? delay(400) : new Promise(() => {}));
    }
    response.setHeader('content-length', 0).end();
  }).listen(0, '127.0.0.1');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connections = openConnections(`http://${host}`);
  t.after(() => connections.close());
  const body = Buffer.alloc(32 * MiB);
  const question = { method: 'PUT', path: '/a', headers: { host }, body, headersTimeout: 1_000 } as const;
  assert.equal((await connections.ask(question))?.status, 200);
  isTaking = false;
  assert.equal(await connections.ask(question), undefined);
});
