// Tests 9 to 12 of the list that the history of other registries makes, through the real HTTP API of each surface: no way
// to write an address leads inside, nothing tells what listens there, and a stored secret goes to no other place.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { AllowedUpstream } from '#outbound/addresses.ts';
import { allowsPlainHttp } from '#outbound/addresses.ts';
import { openOutbound } from '#outbound/outbound.ts';
import { buildApp } from '#server/app.ts';
import { openUpstream } from '#upstream/upstream.ts';
import { type ConnectionSurface, connectionSurfaces } from './connection-surfaces.ts';
import { type Call, callerOf } from './dialect-client.ts';
import { loopback, openTestPlatform, seedKey, seedTeam } from './platform.ts';
import { type SeenRequest, startRegistry } from './servers/registry.ts';

// Loopback, metadata and private places in every notation; names are answered by the test's own resolver.
const insideHosts = [
  ...['127.0.0.1', '127.1', '2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '017700000001', '0', '0.0.0.0'],
  ...['[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::7f00:1]', '[0:0:0:0:0:0:0:1]', '[fe80::1]'],
  ...['localhost', 'LOCALHOST', 'localhost.', 'ip6-localhost', '169.254.169.254', '0xa9fea9fe', '[fd00:ec2::254]'],
  ...['metadata.google.internal', 'metadata.google.internal.', 'inside.example.com', '10.0.0.1', '100.100.100.200'],
  ...[
    '１２７.0.0.1',
    '127。0。0。1',
    '①②⑦.⓪.⓪.①',
    'ｌｏｃａｌｈｏｓｔ',
    '127.0.0.1.',
    '127%2e0%2e0%2e1',
    '168.63.129.16',
  ],
];
const insideNames = /^(?:localhost|ip6-localhost|metadata\.google\.internal|inside\.example\.com)$/;
const resolve = async (name: string) => (insideNames.test(name) ? [{ address: '127.0.0.1', family: 4 }] : []);

/** On loopback: one that answers HTTP, one that is silent, and none. */
async function openPorts(t: TestContext) {
  const registry = await startRegistry(t);
  let silentConnections = 0;
  const silent = createServer(() => silentConnections++);
  const free = createServer();
  const portOf = async (server: typeof silent) => {
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return (server.address() as { port: number }).port;
  };
  const [silentPort, closedPort] = [await portOf(silent), await portOf(free)];
  await new Promise((done) => free.close(done));
  t.after(() => silent.close());
  return {
    ports: [registry.port, silentPort, closedPort],
    registry,
    touched: () => registry.connections() + silentConnections,
  };
}

async function openAttack(t: TestContext, allowed: readonly AllowedUpstream[]) {
  const outbound = openOutbound({ allowed, resolve });
  const platform = await openTestPlatform(t, { outbound });
  platform.upstream = openUpstream(outbound);
  platform.config = { ...platform.config, allowsPlainHttp: allowsPlainHttp(allowed) };
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  t.after(() => app.close());
  return { platform, team, app, call: callerOf(app, team.secret, '') };
}

let made = 0;

/** All that is said when a connection there is made and tested: by the surface, and by the native API. */
async function sayOf(call: Call, surface: ConnectionSurface, url: string): Promise<string[]> {
  const body = surface.toBody({ name: `made ${++made}`, url, username: 'a', password: 'b' });
  const created = await call(`POST ${surface.path}`, { body });
  assert.ok(created.status < 500, `${surface.name} ${url}: ${created.text}`);
  if (created.status >= 400) return [`${created.status} ${created.text}`];
  const id = surface.idOf(created.json);
  const tests = [`POST /lading/v1/connections/${id}/test`];
  if (surface.test) tests.push(`GET ${surface.path}/${id}/${surface.test}`);
  const said: string[] = [];
  for (const asked of tests) {
    const { status, json, text } = await call(asked);
    assert.equal(status, 200, `${asked} ${text}`);
    assert.notEqual(json.passed ?? json.success, true, `${url}: ${text}`);
    said.push(json.steps ? JSON.stringify(json.steps) : text);
  }
  return said;
}

const schemes = ['', 'https://', 'http://', 'HTTPS://', 'https:\\\\', 'https://user@', 'https:///'];

test('no way to write an address leads inside, and nothing tells what listens there', async (t) => {
  const { ports, touched } = await openPorts(t);
  const { call } = await openAttack(t, []);
  const attack = async (surface: ConnectionSurface, place: string) => {
    const said: string[] = [];
    for (const port of ports) {
      const started = performance.now();
      const answers = await sayOf(call, surface, `${place}:${port}`);
      assert.ok(performance.now() - started < 3000, `${surface.name} ${place}: a silent port takes longer`);
      said.push(
        answers
          .join('\n')
          .replaceAll(String(port), 'PORT')
          .replaceAll(/"requestId":"[^"]*"|made \d+/g, ''),
      );
    }
    assert.equal(new Set(said).size, 1, `${surface.name} ${place}:\n${said.join('\n')}`);
  };
  const [native, ...others] = connectionSurfaces;
  assert.ok(native);
  for (const host of insideHosts) await attack(native, host);
  const some = insideHosts.filter((_, i) => i % 4 === 0);
  for (const surface of others) for (const host of some) await attack(surface, host);
  for (const surface of connectionSurfaces) for (const scheme of schemes) await attack(surface, `${scheme}localhost`);
  assert.equal(touched(), 0);
});

test('no cluster leads inside either, and none tells what listens there', async (t) => {
  const { ports, touched } = await openPorts(t);
  const { call } = await openAttack(t, []);
  for (const host of insideHosts) {
    const said = new Set<string>();
    for (const port of ports) {
      const body = { name: `made ${++made}`, server: `https://${host}:${port}`, token: 'a-token' };
      const created = await call('POST /lading/v1/clusters', { body });
      const tested = created.status < 300 ? await call(`POST /lading/v1/clusters/${created.json.id}/test`) : created;
      // A team has a hundred at most.
      if (tested !== created) await call(`DELETE /lading/v1/clusters/${created.json.id}`);
      assert.ok(tested.status < 500 && tested.json?.passed !== true, `${host}: ${tested.text}`);
      said.add(tested.text.replaceAll(String(port), 'PORT').replaceAll(/"requestId":"[^"]*"|made \d+/g, ''));
    }
    assert.equal(said.size, 1, [...said].join('\n'));
  }
  assert.equal(touched(), 0);
});

test('what an operator allowed is one host and port, and no more', async (t) => {
  const { ports, registry, touched } = await openPorts(t);
  const { call } = await openAttack(t, [{ host: '127.0.0.1', port: registry.port }]);
  const [open = 0, ...others] = ports;
  for (const surface of connectionSurfaces) {
    // However it is written, this is the host that was allowed.
    for (const host of ['127.0.0.1', '2130706433', '0x7f.1', '１２７.0.0.1']) {
      const said = await sayOf(call, surface, `http://${host}:${open}`);
      assert.match(
        said.join(),
        /does not know the user name or the password|refuses the user name/,
        `${surface.name} ${host}`,
      );
    }
    const before = touched();
    const refused = new Set<string>();
    for (const host of ['localhost', '[::1]', '[::ffff:127.0.0.1]', '127.0.0.2', 'inside.example.com']) {
      for (const scheme of ['http', 'https']) {
        const said = await sayOf(call, surface, `${scheme}://${host}:${open}`);
        refused.add(said.join().replaceAll(host, 'HOST'));
      }
    }
    for (const port of others) {
      for (const scheme of ['http', 'https']) await sayOf(call, surface, `${scheme}://127.0.0.1:${port}`);
    }
    assert.equal(touched(), before, surface.name);
    for (const said of refused) assert.match(said, /LADING_UPSTREAM_ALLOW/);
  }
});

/** Fields of all surfaces with which somebody could try to have the stored secret sent to `evil`. */
function temptations(good: { port: number }, evil: { port: number }): readonly object[] {
  const [own, other] = [`127.0.0.1:${good.port}`, `127.0.0.2:${evil.port}`];
  const urls = [
    ...[other, `http://${other}`, `https://${other}`, `http://${own}@${other}`, `http://${own}\\@${other}`],
    ...[`http://${own}#@${other}`, `http://${own}?@${other}`, `http:\\\\${other}`, `//${other}`, `http:${other}`],
    ...[`http://${own}/../..//${other}`, `http://${other}\t`, `ht\ttp://${other}`, `http://${other}/${own}`],
    ...[`http://2130706434:${evil.port}`, `http://１２７.0.0.2:${evil.port}`, `http://127。0。0。2:${evil.port}`],
    ...[
      `http://0x7f.2:${evil.port}`,
      `HTTP://LOCALHOST:${evil.port}`,
      `http://127.0.0.1.:${good.port}`,
      `https://${own}`,
    ],
    ...[`http://[::ffff:7f00:2]:${evil.port}`, `http://${own}`, own, `http://127.0.0.1:${evil.port}`, ''],
  ];
  const text = (field: string, values: readonly unknown[]) => values.map((value) => ({ [field]: value }));
  const auths = (host: string) => ({ [host]: { auth: Buffer.from('eve:hers').toString('base64') } });
  return [
    ...urls.flatMap((url) => [{ url, hostname: url, registryUrl: url }]),
    ...text('tokenHost', [other, `https://${other}`, null, own]),
    ...text('provider', ['dockerhub', 'gitlab', 'quay', 'ecr', 'custom', 'oci']),
    ...text('kind', ['dockerhub', 'other', 'gcr', 'azure']),
    ...text('namespace', ['../../..', `//${other}/x`, `http://${other}/x`, `@${other}`, '..', 'team/app']),
    ...text('awsRegion', ['eu-west-1', other, null]),
    ...text('username', ['eve', 'alice', `x@${other}`, '', '_json_key', 'AWS', 'eve\r\nhost: x']),
    ...text('password', ['', null, 'hers', { password: '' }]),
    ...text('credentials', [{}, { username: 'eve' }, { username: 'alice', password: '' }, null]),
    ...text('auths', [{}, null, auths(other), { ...auths(own), ...auths(other) }, { [other]: {} }]),
    ...text('keyfile', [null, '', {}]),
    ...[{ projectIds: [] }, { restrictions: { restricted: true, projects: [] } }, { name: 'renamed' }],
  ];
}

type Step = { surface: ConnectionSurface; change: object; isReplacement: boolean };

/** A registry that a password was given for, another that wants it, and somebody who may change connections but not see. */
async function openTemptation(t: TestContext) {
  const { platform, team, call } = await openAttack(t, loopback);
  const [good, evil] = [await startRegistry(t), await startRegistry(t, { address: '127.0.0.2' })];
  // The registry itself may have been taken over, or somebody may stand in between.
  const redirect = { status: 307, headers: { location: `${evil.url}/v2/` } };
  const challenges = ['Basic', `Bearer realm="${evil.url}/token"`, `Bearer realm="${good.url}@${evil.host}/token"`];
  const answers = [redirect, ...challenges.map((one) => ({ status: 401, headers: { 'www-authenticate': one } }))];
  let asked = 0;
  for (const registry of [good, evil]) registry.before = () => answers[asked++ % answers.length];
  const permissions = ['connections:read', 'connections:update', 'connections:create', 'connections:test'];
  const { secret: key } = await seedKey(platform, team.teamId, { permissions });
  const stored = 'the stored password';
  return {
    ...{ good, evil },
    tempting: temptations(good, evil),
    make: async (): Promise<string> => {
      const body = { name: `made ${++made}`, provider: 'oci', url: good.url, username: 'alice', password: stored };
      return (await call('POST /lading/v1/connections', { body })).json.id;
    },
    /** Whether it was taken. */
    tempt: async (id: string, { surface, change, isReplacement }: Step): Promise<boolean> => {
      const body = surface.name === 'native' ? onlyNative(change) : change;
      const answer = isReplacement
        ? await call(`PUT /lading/v1/connections/${id}/replacement`, { key, body: onlySecret(change) })
        : await call(`${surface.update} ${surface.path}/${id}`, { key, body });
      assert.ok(answer.status < 500 && !answer.text.includes(stored), answer.text);
      return answer.status < 300;
    },
    test: (id: string) => call(`POST /lading/v1/connections/${id}/test`, { key }),
    /** Whether the password is still stored; then it is for where it was given. */
    assertStays: async (id: string): Promise<boolean> => {
      for (const seen of evil.seen.splice(0)) assert.ok(!tells(seen, stored), JSON.stringify(seen));
      const { json: revealed } = await call(`POST /lading/v1/connections/${id}/reveal`);
      if (!JSON.stringify(revealed).includes(stored)) return false;
      const { json } = await call(`GET /lading/v1/connections/${id}`);
      assert.deepEqual([json.host, json.tokenHost, json.provider], [good.host, null, 'oci']);
      return true;
    },
    wasTold: () => good.seen.some((seen) => tells(seen, stored)),
  };
}

// Whoever may change a connection, and may not see what opens it, must not be able to have it sent where they look.
test('no change of one field takes a stored secret to another place, on any surface', async (t) => {
  const { tempting, make, tempt, test, assertStays, wasTold } = await openTemptation(t);
  let id = await make();
  for (const surface of connectionSurfaces) {
    for (const change of tempting) {
      for (const isReplacement of surface.name === 'native' ? [false, true] : [false]) {
        if (!(await tempt(id, { surface, change, isReplacement }))) continue;
        await test(id);
        if (!(await assertStays(id))) id = await make();
      }
    }
  }
  assert.ok(wasTold());
});

test('no sequence of changes takes a stored secret to another place', async (t) => {
  const { tempting, make, tempt, test, assertStays, wasTold } = await openTemptation(t);
  const change = fc
    .array(fc.constantFrom(...tempting), { minLength: 1, maxLength: 3 })
    .map((fields) => Object.assign({}, ...fields));
  const step = fc.record({ surface: fc.constantFrom(...connectionSurfaces), change, isReplacement: fc.boolean() });
  let [taken, kept] = [0, 0];
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 4 }), async (steps) => {
      const id = await make();
      for (const one of steps) {
        if (await tempt(id, one)) taken++;
        await test(id);
      }
      if (await assertStays(id)) kept++;
    }),
    { numRuns: Number(process.env.LADING_TEST_RUNS ?? 50), endOnFailure: true },
  );
  assert.ok(taken > 5 && kept > 25 && wasTold(), `${taken} changes, ${kept} kept`);
});

const tells = (seen: SeenRequest, secret: string): boolean =>
  decodeURIComponent(JSON.stringify(seen)).includes(secret) ||
  Buffer.from(seen.headers.authorization?.replace(/^Basic /, '') ?? '', 'base64').includes(secret);
const only = (names: readonly string[]) => (fields: object) =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => names.includes(name)));
const onlyNative = only([
  'name',
  'url',
  'provider',
  'namespace',
  'tokenHost',
  'awsRegion',
  'username',
  'password',
  'auths',
  'projectIds',
]);
const onlySecret = only(['username', 'password', 'auths']);
