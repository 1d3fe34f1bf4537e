// Generated from the published document: every endpoint against other teams' things, missing permissions and the wrong
// kinds of secrets. A new endpoint is tested without a line here.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSecret } from '#core/ids.ts';
import { permissions } from '#core/permissions.ts';
import { type Json, nativeBase } from '#test/native-client.ts';
import {
  bodyFor,
  type Endpoint,
  endpointsOf,
  type Holdings,
  openWorld,
  parametersOf,
  requestFor,
  type World,
} from '#test/native-world.ts';
import { seedKey } from '#test/platform.ts';

const tables = [
  'teams',
  'projects',
  'registries',
  'repositories',
  'manifests',
  'tags',
  'actors',
  'clusters',
  'cluster_integrations',
  'connections',
  'connection_projects',
  'connection_tests',
  'connection_uses',
  'project_pull_tokens',
  'operations',
] as const;

/** All that a refused request could have changed. When a key was last used is no secret and no change. */
async function snapshot({ platform }: World): Promise<string> {
  const rows: unknown[] = [];
  for (const table of tables) {
    const found = await platform.db.selectFrom(table).selectAll().execute();
    rows.push(found.map((row) => JSON.stringify({ ...row, last_used_at: 0 })).sort());
  }
  return JSON.stringify(rows);
}

/** The answer without what differs between any two requests, and without the name that was asked for. */
function withoutNames(answer: { json: Json; text: string }, names: readonly string[]): string {
  const { requestId: _, ...rest } = answer.json;
  return names.reduce((text, name) => text.replaceAll(JSON.stringify(name).slice(1, -1), '…'), JSON.stringify(rest));
}

// Without this test a lookup by id that forgets the team opens one team's things to all (Harbor, CVE-2022-31666…31671).
test('what another team has is not found on any endpoint, in the words for what never was', async (t) => {
  const world = await openWorld(t);
  const { call, document, mine, theirs } = world;
  const never: Holdings = {
    ...mine,
    team: 'never',
    project: 'never',
    registry: 'never',
    token: '01a00000-0000-7000-8000-000000000000',
    cluster: 'never',
    connection: 'never',
    apiKey: '01a00000-0000-7000-8000-000000000000',
    operation: '01a00000-0000-7000-8000-000000000000',
  };
  const before = await snapshot(world);
  let asked = 0;
  for (const endpoint of endpointsOf(document)) {
    if (parametersOf(endpoint).length === 0) continue;
    const body = bodyFor(endpoint, mine);
    const references = endpoint.pattern.includes('{registry}') ? [theirs.registry, theirs.registryName] : [undefined];
    const unknown = await call(requestFor(endpoint, never), { key: mine.key, body });
    assert.equal(unknown.status, 404, `${endpoint.id}: ${unknown.text}`);
    for (const registry of references) {
      const answer = await call(requestFor(endpoint, theirs, registry ? { registry } : {}), { key: mine.key, body });
      assert.equal(answer.status, 404, `${endpoint.id} reaches another team's: ${answer.text}`);
      assert.equal(
        withoutNames(answer, Object.values({ ...theirs, other: registry ?? '' }).filter(Boolean)),
        withoutNames(unknown, Object.values(never)),
        `${endpoint.id} tells what is there from what is not`,
      );
      asked++;
    }
  }
  assert.ok(asked > 20, `only ${asked} endpoints were asked`);
  assert.equal(await snapshot(world), before, 'a refused request changed something');
});

test('a repository, image or tag is found only under its own registry and repository', async (t) => {
  const world = await openWorld(t);
  const { call, document, mine, team } = world;
  const other = { ...mine, registry: team.registryId };
  const before = await snapshot(world);
  for (const endpoint of endpointsOf(document)) {
    if (!endpoint.pattern.includes('{repository}')) continue;
    const answer = await call(requestFor(endpoint, other), { key: mine.key });
    assert.equal(answer.status, 404, `${endpoint.id}: ${answer.text}`);
  }
  assert.equal(await snapshot(world), before);
});

test('no list and no filter shows what another team has', async (t) => {
  const { call, document, mine, theirs } = await openWorld(t);
  const traces = [
    theirs.registry,
    theirs.project,
    theirs.team,
    theirs.token,
    theirs.cluster,
    theirs.connection,
    theirs.apiKey,
    theirs.operation,
    'theirs',
  ];
  const lists = endpointsOf(document).filter((one) => one.method === 'GET' && parametersOf(one).length === 0);
  assert.ok(lists.length >= 6);
  for (const list of lists) {
    const queries = ['', ...list.query.flatMap(({ name }) => traces.map((trace) => `?${name}=${trace}`))];
    for (const query of queries) {
      const answer = await call(`${requestFor(list, mine)}${query}`, { key: mine.key });
      if (answer.status === 400) continue;
      for (const trace of traces) assert.ok(!answer.text.includes(trace), `${list.id}${query}: ${answer.text}`);
    }
  }
});

test('a body cannot name what another team has', async (t) => {
  const world = await openWorld(t);
  const { call, mine, theirs } = world;
  const before = await snapshot(world);
  const cases: [string, object][] = [
    ['POST /registries', { name: 'x', project: theirs.project }],
    ['POST /tokens', { scope: 'ro', registryIds: [theirs.registry] }],
    ['POST /tokens', { scope: 'ro', registryIds: [mine.registry, theirs.registry] }],
    [`PATCH /tokens/${mine.token}`, { registryIds: [theirs.registry] }],
    ['POST /connections', { name: 'x', provider: 'ghcr', projectIds: [theirs.project] }],
    [`PATCH /connections/${mine.connection}`, { projectIds: [mine.project, theirs.project] }],
    ['POST /api-keys', { name: 'x', permissions: ['keys:read'], projectIds: [theirs.project] }],
  ];
  for (const [request, body] of cases) {
    const answer = await call(request, { key: mine.key, body });
    assert.equal(answer.status, 400, `${request}: ${answer.text}`);
  }
  assert.equal(await snapshot(world), before);
});

// What an endpoint needs beside its own permission, because nobody gives what they do not hold.
const given: Readonly<Record<string, readonly string[]>> = {
  createToken: ['images:pull'],
  createRobot: ['images:pull', 'images:push'],
  connectCluster: ['images:pull'],
  refreshToken: ['images:pull'],
  regenerateToken: ['images:pull'],
};

test('each endpoint needs its permission and no other', async (t) => {
  const world = await openWorld(t);
  const { call, document, mine, team, platform } = world;
  const all = [...permissions, 'teams:write'];
  for (const endpoint of endpointsOf(document)) {
    const { permission } = endpoint;
    assert.ok(all.includes(permission), `${endpoint.id} says no permission`);
    const options = { body: bodyFor(endpoint, mine) };
    const without = await seedKey(platform, team.teamId, { permissions: all.filter((one) => one !== permission) });
    const before = await snapshot(world);
    const refused = await call(requestFor(endpoint, mine), { ...options, key: without.secret });
    assert.equal(refused.status, 403, `${endpoint.id} without ${permission}: ${refused.text}`);
    assert.ok(refused.json.detail.includes(permission), refused.text);
    assert.equal(await snapshot(world), before);
  }
  // Deletions last, and of what holds the others last of all.
  const order = (one: Endpoint) => (one.method === 'DELETE' ? 100 - parametersOf(one).length : 0);
  for (const endpoint of endpointsOf(document).sort((a, b) => order(a) - order(b))) {
    const only = [endpoint.permission, ...(given[endpoint.id] ?? [])];
    const { secret } = await seedKey(platform, team.teamId, { permissions: only });
    const answer = await call(requestFor(endpoint, mine), { key: secret, body: bodyFor(endpoint, mine) });
    assert.ok(![400, 401, 403, 500].includes(answer.status), `${endpoint.id} with ${only}: ${answer.text}`);
  }
});

test('only a live API key opens an endpoint, whatever else is shown in whatever way', async (t) => {
  const world = await openWorld(t);
  const { app, call, document, mine, team, platform } = world;
  const token = (await call('POST /tokens', { body: { scope: 'rw', registryIds: null } })).json.secret;
  const revoked = (await call('POST /api-keys', { body: { name: 'r', permissions: ['*'] } })).json;
  await call(`DELETE /api-keys/${revoked.id}`);
  const basic = (secret: string) => ({ authorization: `Basic ${Buffer.from(`x:${secret}`).toString('base64')}` });
  const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });
  const access = await app.inject({ url: '/token?scope=repository:mine/app/mine:pull', headers: basic(team.secret) });
  const shown: Record<string, string>[] = [
    {},
    bearer(token),
    basic(token),
    bearer(revoked.secret),
    basic(revoked.secret),
    bearer(access.json().token),
    bearer(newSecret('key')),
    bearer(''),
    bearer(`${team.secret} `.repeat(2)),
    { authorization: team.secret },
    { authorization: `Basic ${team.secret}` },
    { authorization: `Digest ${team.secret}` },
    { cookie: `token=${team.secret}` },
    { 'x-auth-token': team.secret },
    { 'x-api-key': team.secret },
  ];
  const before = await snapshot(world);
  for (const endpoint of endpointsOf(document)) {
    const [method, path] = requestFor(endpoint, mine).split(' ');
    for (const headers of shown) {
      const url = `${nativeBase}${path}?access_token=${team.secret}`;
      const answer = await app.inject({ method: method as 'GET', url, headers });
      assert.equal(answer.statusCode, 401, `${endpoint.id} ${JSON.stringify(headers)}: ${answer.body}`);
      assert.equal(answer.headers['content-type'], 'application/problem+json');
      assert.match(String(answer.headers['www-authenticate']), /^Bearer realm="lading"/);
    }
  }
  assert.equal(await snapshot(world), before);
  const half = await seedKey(platform, team.teamId, { permissions: ['registries:read', 'tokens:read'] });
  for (const endpoint of endpointsOf(document).filter((one) => one.method === 'GET')) {
    const url = `${nativeBase}${requestFor(endpoint, mine).split(' ')[1]}`;
    const [one, other] = [
      await app.inject({ url, headers: bearer(half.secret) }),
      await app.inject({ url, headers: basic(half.secret) }),
    ];
    assert.equal(one.statusCode, other.statusCode, `${endpoint.id}: Bearer and Basic have different rights`);
  }
});

// Without this test a new field of the core could be set by whoever guesses its name (Harbor, CVE-2019-16097).
test('a body with a field of any other schema is refused and changes nothing', async (t) => {
  const world = await openWorld(t);
  const { call, document, mine } = world;
  const schemas = document.components.schemas as Record<string, { properties?: object }>;
  const names = new Set(Object.values(schemas).flatMap((one) => Object.keys(one.properties ?? {})));
  for (const name of ['team_id', 'secret_hash', 'generation', 'kind', 'revoked_at', 'constructor', '$where'])
    names.add(name);
  const before = await snapshot(world);
  for (const endpoint of endpointsOf(document)) {
    if (endpoint.body === undefined) continue;
    const own = Object.keys(schemas[endpoint.body]?.properties ?? {});
    for (const name of [...names].filter((one) => !own.includes(one))) {
      const body = { ...bodyFor(endpoint, mine), [name]: 'x' };
      const answer = await call(requestFor(endpoint, mine), { key: mine.key, body });
      assert.equal(answer.status, 400, `${endpoint.id} takes ${name}`);
      assert.equal(answer.json.errors[0].pointer, `/${name}`);
    }
  }
  assert.equal(await snapshot(world), before);
});

test('no answer but the one that makes a secret shows it, not even to the owner', async (t) => {
  const { call, document, mine, team } = await openWorld(t);
  const made = [
    (await call('POST /tokens', { body: { scope: 'rw', registryIds: null } })).json,
    (await call('POST /api-keys', { body: { name: 'k', permissions: ['*'] } })).json,
    (await call(`POST /tokens/${mine.token}/regenerate`)).json,
  ].map((one) => one.secret as string);
  const waiting = `PUT /connections/${mine.connection}/replacement`;
  assert.equal(
    (await call(waiting, { body: { username: 'alice', password: 'planted-password-2' } })).json.replaced,
    false,
  );
  for (const endpoint of endpointsOf(document).filter((one) => one.method === 'GET')) {
    const queries = ['', ...made.flatMap((secret) => endpoint.query.map(({ name }) => `?${name}=${secret}`))];
    for (const query of queries) {
      const { text, status } = await call(`${requestFor(endpoint, mine)}${query}`);
      assert.ok(status === 200 || query !== '', `${endpoint.id}: ${text}`);
      for (const secret of made) assert.ok(!text.includes(secret), `${endpoint.id}${query}: ${text}`);
      // A door: what it hands out is its answer.
      if (endpoint.id === 'getPullSecret') continue;
      assert.ok(!/ldg_|planted-password/i.test(text), `${endpoint.id}${query}: ${text}`);
      assert.ok(
        endpoint.id === 'listProviders' || !/(?<!has|pull-)secret(?!Name")/i.test(text),
        `${endpoint.id}: ${text}`,
      );
    }
  }
  assert.ok(team.secret.startsWith('ldg_'));
});
