import assert from 'node:assert/strict';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { isFault } from '#core/outbound.ts';
import type { Scope } from '#test/database.ts';
import { answerOf, faultOf, listen, serve, textOf } from '#test/outbound-world.ts';
import { makeAuthority } from '#test/servers/certificates.ts';
import type { AllowedUpstream } from './addresses.ts';
import { openOutbound } from './outbound.ts';

const loopback: readonly AllowedUpstream[] = [{ range: '127.0.0.0/8' }];

async function serveTls(t: Scope, options: ServerOptions) {
  const server = createTlsServer(options, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate();
    response.end(`client ${subject?.CN ?? 'none'}`);
  });
  return listen(t, server);
}

test('a pinned authority is trusted and no other, for the names of its certificates', async (t) => {
  const authority = makeAuthority(t);
  const stranger = makeAuthority(t, 'Stranger');
  const { certificatePem, keyPem } = authority.issue('server', { altName: 'IP:127.0.0.1,DNS:good.test' });
  const port = await serveTls(t, { cert: certificatePem, key: keyPem });
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
  const outbound = openOutbound({ allowed: loopback, resolve });
  const ask = (host: string, caPem?: string) =>
    outbound({ method: 'GET', url: `https://${host}:${port}/`, tls: { caPem } });
  assert.equal(textOf(answerOf(await ask('127.0.0.1', authority.caPem))), 'client none');
  assert.equal(textOf(answerOf(await ask('good.test', authority.caPem))), 'client none');
  assert.equal(
    textOf(answerOf(await ask('good.test', certificatePem))),
    'client none',
    'its own certificate is pinned',
  );
  assert.match(faultOf(await ask('bad.test', authority.caPem)).message, /for other names/);
  assert.match(faultOf(await ask('good.test', stranger.caPem)).message, /not trusted here/);
  assert.match(faultOf(await ask('good.test')).message, /not trusted here/);
  const plain = await serve(t, (_request, response) => response.end('plain'));
  const toPlain = faultOf(await outbound({ method: 'GET', url: `https://127.0.0.1:${plain.port}/` }));
  assert.equal(toPlain.failedAt, 'tls');
  assert.match(
    toPlain.message,
    new RegExp(`^127\\.0\\.0\\.1:${plain.port} does not speak TLS.* begin with http://\\.$`),
  );
});

test('a client certificate is shown to the origin it is for', async (t) => {
  const authority = makeAuthority(t);
  const server = authority.issue('server', { altName: 'IP:127.0.0.1' });
  const client = authority.issue('alice');
  const options = { cert: server.certificatePem, key: server.keyPem, ca: authority.caPem, requestCert: true };
  const port = await serveTls(t, { ...options, rejectUnauthorized: true });
  const outbound = openOutbound({ allowed: loopback });
  const ask = (tls: object) =>
    outbound({ method: 'GET', url: `https://127.0.0.1:${port}/`, tls: { caPem: authority.caPem, ...tls } });
  assert.equal(textOf(answerOf(await ask(client))), 'client alice');
  assert.ok(isFault(await ask({})));
});

test('whom we trust at one origin, and as whom we come, holds for no other one', async (t) => {
  const authority = makeAuthority(t);
  const server = authority.issue('server', { altName: 'IP:127.0.0.1' });
  const options = { cert: server.certificatePem, key: server.keyPem };
  const second = await serveTls(t, options);
  const first = createTlsServer(options, (_request, response) => {
    response.writeHead(302, { location: `https://127.0.0.1:${second}/` }).end();
  });
  const port = await listen(t, first);
  const tls = { caPem: authority.caPem, ...authority.issue('alice') };
  const outbound = openOutbound({ allowed: loopback });
  assert.equal(faultOf(await outbound({ method: 'GET', url: `https://127.0.0.1:${port}/`, tls })).failedAt, 'tls');
  assert.equal(answerOf(await outbound({ method: 'GET', url: `https://127.0.0.1:${second}/`, tls })).status, 200);
});

test('the time ends a slow answer by TLS too, and no process with it', async (t) => {
  const authority = makeAuthority(t);
  const server = authority.issue('server', { altName: 'IP:127.0.0.1' });
  const dripping = createTlsServer({ cert: server.certificatePem, key: server.keyPem }, (_request, response) => {
    const timer = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(timer));
  });
  const url = `https://127.0.0.1:${await listen(t, dripping)}/`;
  const outbound = openOutbound({ allowed: loopback });
  const tls = { caPem: authority.caPem };
  assert.equal(faultOf(await outbound({ method: 'GET', url, tls, timeoutMs: 300 })).failedAt, 'timeout');
  assert.equal(faultOf(await outbound({ method: 'GET', url, tls, answerBytesMax: 3 })).failedAt, 'too_large');
});
