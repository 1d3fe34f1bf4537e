import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import type { Scope } from '#test/database.ts';
import { makeAuthority } from '#test/servers/certificates.ts';
import { openLine } from './s3-line.ts';
import type { Place } from './s3-place.ts';

/** A server with a certificate that this process trusts meanwhile. */
async function startTls(t: Scope, listener: RequestListener): Promise<Pick<Place, 'isTls' | 'hostname' | 'port'>> {
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
  return { isTls: true, hostname: 'localhost', port: (server.address() as AddressInfo).port };
}

// What would break without the name: stores behind a proxy for many hosts answer with another one's certificate.
test('over TLS the server hears which host is meant, and gives every byte on one connection', async (t) => {
  const bytes = randomBytes(2 ** 21);
  const seen = new Set<TLSSocket>();
  const place = await startTls(t, ({ socket }, response) => {
    seen.add(socket as TLSSocket);
    response.setHeader('content-length', bytes.length).end(bytes);
  });
  const line = openLine(place as Place, { free: () => {}, gone: () => {} });
  t.after(() => line.close());
  for (let n = 0; n < 3; n++) {
    const answer = await line.ask('GET /a HTTP/1.1\r\nhost: localhost\r\n\r\n', undefined, 10_000);
    assert.equal(answer?.status, 200);
    assert.ok(Buffer.concat(await answer.body.toArray()).equals(bytes));
  }
  assert.deepEqual(
    [...seen].map(({ servername }) => servername),
    ['localhost'],
  );
});
