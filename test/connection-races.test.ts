// Requests that meet, through all surfaces at once: whatever order they are served in, no answer is a fault, and what is
// true of each order alone is true of all. `afterCheck` and the core's own tests choose orders; here chance does.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { fillManagedRegistries } from '#core/managed-registries.ts';
import { buildApp } from '#server/app.ts';
import { type ConnectionSurface, connectionSurfaces } from './connection-surfaces.ts';
import { callerOf, type DialectAnswer } from './dialect-client.ts';
import { assertRefused } from './management-world.ts';
import { loopback, openTestPlatform, seedKey, seedTeam } from './platform.ts';
import { type SeenRequest, startRegistry } from './servers/registry.ts';

async function openRace(t: TestContext) {
  const platform = await openTestPlatform(t, {}, { allowed: loopback });
  const team = await seedTeam(platform, 'acme');
  await fillManagedRegistries(platform);
  const app = await buildApp(platform);
  t.after(() => app.close());
  const send = callerOf(app, team.secret, '');
  const answers: [string, DialectAnswer][] = [];
  const call: typeof send = async (asked, options) => {
    const answer = await send(asked, options);
    answers.push([asked, answer]);
    return answer;
  };
  const [one, other] = [await startRegistry(t), await startRegistry(t, { address: '127.0.0.2' })];
  /** Neither fault nor refusal in a wrong form; then forgotten. */
  const assertAnswers = (...statuses: number[]) => {
    for (const [asked, answer] of answers.splice(0)) {
      assert.ok(statuses.includes(answer.status), `${asked}: ${answer.status} ${answer.text}`);
      const path = asked.split(' ')[1] ?? '';
      if (answer.status >= 400) assertRefused(answer, path, asked);
    }
  };
  return { platform, team, app, call, one, other, assertAnswers };
}

const rounds = 6;

/** Begun in any order, some a little later than others; answered in theirs. */
const meet = <T>(works: readonly (() => Promise<T>)[]): Promise<T[]> =>
  Promise.all(
    works.map(async (work) => {
      for (let waits = Math.floor(Math.random() * 20); waits > 0; waits--) await new Promise(setImmediate);
      return work();
    }),
  );
const passwordsIn = (seen: readonly SeenRequest[]): Set<string> =>
  new Set(
    seen.flatMap(({ headers: { authorization } }) =>
      authorization ? [Buffer.from(authorization.replace('Basic ', ''), 'base64').toString().split(':')[1] ?? ''] : [],
    ),
  );
const bodyOf = (surface: ConnectionSurface, body: { name: string; url: string; password: string }) => {
  const {
    registry_type: _,
    provider: __,
    ...change
  } = surface.toBody({ username: 'alice', ...body }) as Record<string, unknown>;
  return change;
};

test('of many who take one name on all surfaces, one gets it, and each other one a refusal', async (t) => {
  const { platform, call, assertAnswers } = await openRace(t);
  for (let round = 0; round < rounds; round++) {
    const made = await meet(
      [...connectionSurfaces, ...connectionSurfaces].map((surface, i) => () => {
        const name = i % 2 === 0 ? `made-${round}` : `MADE-${round}`;
        const body = surface.toBody({ name, url: 'https://a.example.com', username: 'a', password: 'b' });
        return call(`POST ${surface.path}`, { body });
      }),
    );
    assert.equal(made.filter(({ status }) => status < 300).length, 1);
    const rows = await platform.db.selectFrom('connections').select('id').execute();
    assert.equal(rows.length, round + 1);
  }
  assertAnswers(200, 201, 400, 409);
});

test('a password never meets a host that it was not given for, however changes and tests meet', async (t) => {
  const { platform, call, one, other, assertAnswers } = await openRace(t);
  for (let round = 0; round < rounds; round++) {
    const name = `raced-${round}`;
    const made = await call('POST /lading/v1/connections', {
      body: { name, provider: 'oci', url: one.url, username: 'alice', password: 'for-one' },
    });
    const path = `/lading/v1/connections/${made.json.id}`;
    await meet([
      ...connectionSurfaces.flatMap((surface) => {
        const at = `${surface.update} ${surface.path}/${made.json.id}`;
        const move = (url: string, password: string) => () =>
          call(at, { body: bodyOf(surface, { name, url, password }) });
        return [move(other.url, 'for-other'), move(one.url, 'for-one')];
      }),
      () => call(`PATCH ${path}`, { body: { url: other.url } }),
      () => call(`PATCH ${path}`, { body: { url: one.url } }),
      () => call(`PUT ${path}/replacement`, { body: { password: 'correct horse' } }),
      () => call(`DELETE ${path}/replacement`),
      ...Array.from({ length: 4 }, () => () => call(`POST ${path}/test`)),
      () => call(`POST ${path}/reveal`),
    ]);
    const { json } = await call(`POST ${path}/reveal`);
    const expected = json.host === one.host ? ['for-one', 'correct horse'] : ['for-other', 'correct horse'];
    assert.ok(expected.includes(json.password), `${json.password} for ${json.host}`);
    const row = await platform.db
      .selectFrom('connections')
      .selectAll()
      .where('id', '=', made.json.id)
      .executeTakeFirstOrThrow();
    assert.ok(row.sealed_replacement === null || row.replacement_username !== null);
  }
  assert.ok(!passwordsIn(one.seen).has('for-other'));
  assert.ok(!passwordsIn(other.seen).has('for-one'));
  assert.ok(passwordsIn(one.seen).size > 0);
  assertAnswers(200, 201, 204, 400, 404, 409);
});

test('what is deleted while it is tested, changed and handed out is gone, and so is all that belongs to it', async (t) => {
  const { platform, call, one, assertAnswers } = await openRace(t);
  for (let round = 0; round < rounds; round++) {
    const body = { name: `gone-${round}`, provider: 'oci', url: one.url, username: 'alice', password: 'correct horse' };
    const { id } = (await call('POST /lading/v1/connections', { body })).json;
    const path = `/lading/v1/connections/${id}`;
    const deleted = await meet([
      ...connectionSurfaces.map((surface) => () => call(`DELETE ${surface.path}/${id}`)),
      ...[1, 2, 3].map(() => () => call(`POST ${path}/test`)),
      () => call(`PUT ${path}/replacement`, { body: { password: 'wrong' } }),
      () => call(`PATCH ${path}`, { body: { description: 'x' } }),
      () => call('GET /lading/v1/projects/default/pull-secret'),
      () => call(`GET ${path}/uses`),
      () => call(`GET ${path}/tests`),
    ]);
    const deletions = deleted.slice(0, connectionSurfaces.length);
    assert.equal(
      deletions.filter(({ status }) => status < 300).length,
      1,
      deletions.map(({ text }) => text).join('\n'),
    );
  }
  for (const table of ['connections', 'connection_tests', 'connection_uses', 'connection_projects'] as const) {
    assert.deepEqual(await platform.db.selectFrom(table).selectAll().execute(), [], table);
  }
  assertAnswers(200, 201, 204, 400, 404, 409);
});

test('a project that ends while it is pulled for and given connections leaves nothing that opens anything', async (t) => {
  const { platform, call, app, assertAnswers } = await openRace(t);
  for (let round = 0; round < rounds; round++) {
    const project = (await call('POST /lading/v1/projects', { body: { name: `project-${round}` } })).json;
    const secrets: string[] = [];
    const pull = async () => {
      const { status, json } = await call(`GET /lading/v1/projects/${project.id}/pull-secret`);
      if (status === 200) secrets.push(json.config.auths['localhost:8080'].password);
    };
    const headers = { 'x-nodion-project': project.id };
    const nodion = {
      registry_type: 'custom',
      hostname: 'a.example.com',
      username: 'a',
      password: 'b',
      name: `n-${round}`,
    };
    const input = { name: `c-${round}`, provider: 'ghcr', username: 'a', password: 'b', projectIds: [project.id] };
    await meet<unknown>([
      ...[pull, pull, pull],
      () => call('POST /lading/v1/connections', { body: input }),
      () => call(`DELETE /lading/v1/projects/${project.id}`),
      () => call('POST /v1/container_registries', { headers, body: nodion }),
      () => call(`POST /lading/v1/registries/${project.registries[0].id}/robots`),
      ...[pull, pull],
    ]);
    for (const secret of secrets) {
      const authorization = `Basic ${Buffer.from(`token:${secret}`).toString('base64')}`;
      assert.equal((await app.inject({ url: '/v2/', headers: { authorization } })).statusCode, 401);
    }
    const bound = await platform.db
      .selectFrom('connection_projects')
      .selectAll()
      .where('project_id', '=', project.id)
      .execute();
    const { status } = await call(`GET /lading/v1/projects/${project.id}`);
    assert.deepEqual([bound, status], [[], 404]);
    // None of them has become the whole team's.
    const open = await platform.db.selectFrom('connections').select('name').where('is_restricted', '=', 0).execute();
    assert.deepEqual(open, []);
  }
  assertAnswers(200, 201, 204, 400, 403, 404, 409);
});

test('a key that is revoked while it tests and pulls is handed out nothing afterwards', async (t) => {
  const { platform, team, call, one, assertAnswers } = await openRace(t);
  const { secret: key, actor } = await seedKey(platform, team.teamId);
  const body = { name: 'a', provider: 'oci', url: one.url, username: 'alice', password: 'correct horse' };
  await call('POST /lading/v1/connections', { body });
  const asked = [
    'POST /lading/v1/connections/a/test',
    'GET /lading/v1/projects/default/pull-secret',
    'GET /v1/integrations/registries/a',
  ];
  const during = asked.map((one) => call(one, { key }));
  const revoked = await call(`DELETE /lading/v1/api-keys/${actor.id}`);
  assert.equal(revoked.status, 204);
  await Promise.all(during);
  for (const one of asked) assert.equal((await call(one, { key })).status, 401);
  assertAnswers(200, 201, 204, 401);
});
