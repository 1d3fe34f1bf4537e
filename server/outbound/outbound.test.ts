import assert from 'node:assert/strict';
import { createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { answerOf, faultOf, listen, serve, textOf } from '#test/outbound-world.ts';
import { type AllowedUpstream, isPublic, mayReach } from './addresses.ts';
import { openOutbound } from './outbound.ts';

const loopback: readonly AllowedUpstream[] = [{ range: '127.0.0.0/8' }];

test('a server that the operator allowed answers with status, headers and body', async (t) => {
  const { url } = await serve(t, (request, response) => {
    response.writeHead(418, { 'X-Seen': `${request.method} ${request.url} ${request.headers['x-mine']}` });
    request.pipe(response);
  });
  for (const allowed of [
    loopback,
    [{ range: '127.0.0.1/32' }],
    [{ host: '127.0.0.1', port: Number(new URL(url).port) }],
  ]) {
    const outbound = openOutbound({ allowed });
    const answer = answerOf(
      await outbound({ method: 'PUT', url: `${url}a?b=c`, headers: { 'x-mine': '1' }, body: 'hello' }),
    );
    assert.equal(answer.status, 418);
    assert.equal(answer.headers['x-seen'], 'PUT /a?b=c 1');
    assert.equal(textOf(answer), 'hello');
  }
});

// Without this test a cluster or a connection of a team is a way into the operator's network (CVE-2020-13788, CVE-2026-32591).
test('an address that is not public is never connected to, however it is written', async (t) => {
  const { port, connections } = await serve(t, (_request, response) => response.end('inside'));
  const outbound = openOutbound({ allowed: [{ range: '10.0.0.0/8' }, { host: 'localhost', port: port + 1 }] });
  const hosts = [
    '127.0.0.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '127.1',
    '0',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[64:ff9b:1::7f00:1]',
    '[2002:7f00:1::]',
    'localhost',
    'LOCALHOST',
    'localhost.',
    '169.254.169.254',
    '%31%32%37.0.0.1',
    '127。0。0。1',
  ];
  for (const host of hosts) {
    for (const scheme of ['http', 'https']) {
      const fault = faultOf(await outbound({ method: 'GET', url: `${scheme}://${host}:${port}/`, timeoutMs: 2000 }));
      assert.match(fault.failedAt, /^(?:address|dns)$/, `${scheme}://${host}: ${fault.message}`);
      assert.match(fault.message, /LADING_UPSTREAM_ALLOW/);
    }
  }
  assert.equal(connections(), 0);
});

test('an address is public only if anybody on the internet could reach it', () => {
  // biome-ignore format: a table
  const inside = [
    '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', '100.100.100.200', '127.8.8.8', '0.1.2.3',
    '169.254.169.254', '168.63.129.16', '192.0.0.192', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1',
    '224.0.0.1', '240.0.0.1', '255.255.255.255', '192.88.99.1', '::', '::1', '::7f00:1', '::ffff:10.0.0.1',
    '64:ff9b::808:808', '64:ff9b:1::1', '2002:a00:1::', '2001::1', '2001:db8::1', 'fc00::1', 'fd00:ec2::254', 'fe80::1',
    'fe80::1%eth0', 'fec0::1', 'ff02::1', '100::1', '5f00::1', '3fff::1', '4000::1', 'nonsense', '',
  ];
  for (const address of inside) assert.equal(isPublic(address), false, address);
  for (const address of ['8.8.8.8', '172.32.0.1', '::ffff:8.8.8.8', '2606:4700::1111', '2a00:1450::1']) {
    assert.equal(isPublic(address), true, address);
  }
});

test('without TLS only what the operator allowed is asked, public or not', () => {
  const target = { hostname: 'example.com', port: 80, isTls: false };
  assert.equal(mayReach([], target, '8.8.8.8'), false);
  assert.equal(mayReach([], { ...target, isTls: true }, '8.8.8.8'), true);
  assert.equal(mayReach([{ host: 'example.com', port: undefined }], target, '8.8.8.8'), true);
});

test('a host that the operator allowed is allowed on the port he named and under that name alone', async (t) => {
  const { port } = await serve(t, (_request, response) => response.end('ok'));
  const other = await serve(t, (_request, response) => response.end('other'));
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
  const outbound = openOutbound({ allowed: [{ host: 'registry.internal', port }], resolve });
  const get = (url: string) => outbound({ method: 'GET', url });
  assert.equal(textOf(answerOf(await get(`http://registry.internal:${port}/`))), 'ok');
  assert.equal(textOf(answerOf(await get(`http://REGISTRY.internal.:${port}/`))), 'ok');
  assert.equal(faultOf(await get(`http://registry.internal:${other.port}/`)).failedAt, 'dns');
  assert.equal(faultOf(await get(`http://127.0.0.1:${port}/`)).failedAt, 'address');
  assert.equal(faultOf(await get(`http://x.registry.internal:${port}/`)).failedAt, 'dns');
  assert.equal(other.connections(), 0);
});

test('of several addresses of a name only those that may be reached are tried', async (t) => {
  const { port } = await serve(t, (_request, response) => response.end('ok'));
  const forbidden = await serve(t, (_request, response) => response.end('inside'));
  const resolve = async () => [
    { address: '127.0.0.2', family: 4 },
    { address: '127.0.0.1', family: 4 },
  ];
  const get = (allowed: AllowedUpstream[], toPort: number) =>
    openOutbound({ allowed, resolve })({ method: 'GET', url: `http://mixed.test:${toPort}/`, timeoutMs: 3000 });
  assert.equal(textOf(answerOf(await get([{ range: '127.0.0.1/32' }], port))), 'ok');
  assert.equal(faultOf(await get([{ range: '127.0.0.2/32' }], forbidden.port)).failedAt, 'connect');
  assert.equal(forbidden.connections(), 0);
});

test('a name that resolves to something else after it was judged is not asked again', async (t) => {
  const inside = await serve(t, (_request, response) => response.end('inside'));
  let asked = 0;
  const resolve = async () => {
    asked++;
    return [{ address: asked === 1 ? '127.0.0.9' : '127.0.0.1', family: 4 }];
  };
  const outbound = openOutbound({ allowed: [{ range: '127.0.0.9/32' }], resolve });
  const url = `http://rebind.test:${inside.port}/`;
  assert.equal(faultOf(await outbound({ method: 'GET', url })).failedAt, 'connect');
  assert.equal(asked, 1);
  assert.equal(faultOf(await outbound({ method: 'GET', url })).failedAt, 'dns');
  assert.equal(inside.connections(), 0);
});

test('a redirect into the network is refused like the address itself', async (t) => {
  const inside = await serve(t, (_request, response) => response.end('inside'));
  const targets = [
    `http://127.0.0.2:${inside.port}/`,
    `http://localhost:${inside.port}/`,
    'http://169.254.169.254/latest',
  ];
  const { port } = await serve(t, (request, response) => {
    response.writeHead(302, { location: targets[Number(request.url?.slice(1))] ?? '' }).end();
  });
  const outbound = openOutbound({ allowed: [{ host: '127.0.0.1', port }] });
  for (const [i] of targets.entries()) {
    const fault = faultOf(await outbound({ method: 'GET', url: `http://127.0.0.1:${port}/${i}` }));
    assert.match(fault.failedAt, /^(?:address|dns)$/);
  }
  assert.equal(inside.connections(), 0);
});

test('a redirect to what is not HTTP, or to nothing, is refused', async (t) => {
  const targets = ['file:///etc/passwd', 'gopher://127.0.0.1/', 'http://user:pass@127.0.0.1/', 'http://[', '//'];
  const { url } = await serve(t, (request, response) => {
    response.writeHead(302, { location: targets[Number(request.url?.slice(1))] ?? '' }).end();
  });
  const outbound = openOutbound({ allowed: loopback });
  for (const [i, target] of targets.entries()) {
    const fault = faultOf(await outbound({ method: 'GET', url: `${url}${i}` }));
    assert.match(fault.failedAt, /^(?:url|redirect)$/, target);
  }
});

// GHSA-vh4v-2xq2-g5cg, CVE-2026-50151: clients that took their credentials along.
test('credentials go to no other origin, and not back after a detour', async (t) => {
  const seen: Record<string, unknown>[] = [];
  const other = await serve(t, (request, response) => {
    seen.push(request.headers);
    response.writeHead(307, { location: `${first.url}end` }).end();
  });
  const first = await serve(t, (request, response) => {
    seen.push(request.headers);
    const location = { '/same': '/start', '/start': other.url }[request.url ?? ''];
    response.writeHead(location ? 302 : 200, location ? { location } : {}).end();
  });
  const headers = { authorization: 'Bearer secret', cookie: 'a=b', 'x-api-key': 'k', accept: 'text/plain' };
  const outbound = openOutbound({ allowed: loopback });
  answerOf(await outbound({ method: 'GET', url: `${first.url}same`, headers }));
  const kept = seen.map((one) => [one.authorization, one.cookie, one['x-api-key'], one.accept]);
  const none = [undefined, undefined, undefined, 'text/plain'];
  const all = ['Bearer secret', 'a=b', 'k', 'text/plain'];
  assert.deepEqual(kept, [all, all, none, none]);
});

test('redirects are few, and none is followed with a body', async (t) => {
  const { url, requests } = await serve(t, (_request, response) => response.writeHead(302, { location: '/' }).end());
  const outbound = openOutbound({ allowed: loopback });
  assert.equal(faultOf(await outbound({ method: 'GET', url })).failedAt, 'redirect');
  assert.equal(requests(), 4);
  assert.equal(answerOf(await outbound({ method: 'POST', url, body: 'x' })).status, 302);
  assert.equal(answerOf(await outbound({ method: 'GET', url, redirectsMax: 0 })).status, 302);
  assert.equal(requests(), 6);
});

test('an answer is read up to its cap and no further', async (t) => {
  let written = 0;
  const { url } = await serve(t, (request, response) => {
    if (request.url === '/announced') response.writeHead(200, { 'content-length': 10 ** 12 });
    const write = () => {
      while (!response.destroyed && response.write(Buffer.alloc(64 * 1024))) written += 64 * 1024;
      if (!response.destroyed) response.once('drain', write);
    };
    write();
  });
  const outbound = openOutbound({ allowed: loopback });
  for (const path of ['endless', 'announced']) {
    const fault = faultOf(await outbound({ method: 'GET', url: `${url}${path}`, answerBytesMax: 100_000 }));
    assert.equal(fault.failedAt, 'too_large');
  }
  assert.ok(written < 50 * 1024 * 1024, `${written} bytes were written`);
  const small = await serve(t, (_request, response) => response.end('x'.repeat(1000)));
  assert.equal(answerOf(await outbound({ method: 'GET', url: small.url, answerBytesMax: 1000 })).body.length, 1000);
  const headers = await serve(t, (_request, response) => response.writeHead(200, { x: 'y'.repeat(60_000) }).end());
  assert.equal(faultOf(await outbound({ method: 'GET', url: headers.url })).failedAt, 'answer');
});

test('the time holds for everything: a silent server, a slow body, a slow name, many slow redirects', async (t) => {
  const silentTcp = createTcpServer(() => {});
  const silent = await listen(t, silentTcp);
  const dripping = await serve(t, (request, response) => {
    if (request.url?.startsWith('/hop')) {
      setTimeout(() => response.writeHead(302, { location: `${request.url}x` }).end(), 120);
      return;
    }
    const timer = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(timer));
  });
  const never = () => new Promise<never>(() => {});
  const outbound = openOutbound({ allowed: [...loopback, { host: 'slow.test', port: undefined }] });
  const slowName = openOutbound({ allowed: loopback, resolve: never });
  const started = performance.now();
  const results = await Promise.all([
    outbound({ method: 'GET', url: `http://127.0.0.1:${silent}/`, timeoutMs: 300 }),
    outbound({ method: 'GET', url: `https://127.0.0.1:${silent}/`, timeoutMs: 300 }),
    outbound({ method: 'GET', url: dripping.url, timeoutMs: 300 }),
    outbound({ method: 'GET', url: `${dripping.url}hop`, timeoutMs: 300, redirectsMax: 100 }),
    slowName({ method: 'GET', url: 'https://slow.test/', timeoutMs: 300 }),
  ]);
  for (const result of results) assert.equal(faultOf(result).failedAt, 'timeout');
  for (const result of results.slice(0, 2)) {
    assert.match(faultOf(result).message, new RegExp(`^127\\.0\\.0\\.1:${silent} did not answer within 0.3 seconds`));
  }
  assert.ok(performance.now() - started < 5000);
});

test('what the system says of a connection is not repeated, nor the address of a name', async (t) => {
  const hangingUp = await listen(
    t,
    createTcpServer((socket) => socket.destroy()),
  );
  const free = createTcpServer();
  const freePort = await listen(t, free);
  await new Promise((resolve) => free.close(resolve));
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
  const outbound = openOutbound({ allowed: loopback, resolve });
  const ask = async (port: number) =>
    faultOf(await outbound({ method: 'GET', url: `https://inside.test:${port}/`, timeoutMs: 500 }));
  const refused = await ask(freePort);
  assert.equal(refused.failedAt, 'connect');
  for (const fault of [refused, await ask(hangingUp)]) {
    assert.doesNotMatch(fault.message, /127\.0\.0\.1|ECONN|refused|reset/i);
  }
});

test('what is no https URL is not asked', async () => {
  const outbound = openOutbound({ allowed: [] });
  for (const url of [
    '',
    'x',
    'file:///etc/passwd',
    'ftp://a.test/',
    'https://u:p@a.test/',
    'javascript:1',
    'data:,x',
  ]) {
    assert.equal(faultOf(await outbound({ method: 'GET', url })).failedAt, 'url', url);
  }
});

// Else a test of a connection would tell anybody which names the network inside has.
test('a name that is not there and one that leads inside are refused in the same words', async () => {
  const said = new Set<string>();
  const inside = async () => [{ address: '10.0.0.1', family: 4 }];
  const nowhere = () => Promise.reject(new Error('ENOTFOUND'));
  for (const resolve of [inside, nowhere, async () => []]) {
    const outbound = openOutbound({ allowed: [], resolve });
    said.add(JSON.stringify(faultOf(await outbound({ method: 'GET', url: 'https://name.test/' }))));
  }
  assert.equal(said.size, 1);
  assert.match([...said].join(), /No address was found for name.test .*Check the spelling/);
});
