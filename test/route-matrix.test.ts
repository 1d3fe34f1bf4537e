// Every route of every management surface, as Fastify lists them, against whoever may not: a route that is added is
// tested without a line here, and one with a parameter that nobody has thought of fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSecret } from '#core/ids.ts';
import { buildApp } from '#server/app.ts';
import { callerOf, type DialectAnswer } from './dialect-client.ts';
import {
  assertRefused,
  bodyFor,
  type Holdings,
  type ManagementWorld,
  namesOf,
  openManagementWorld,
  snapshot,
  valuesOf,
} from './management-world.ts';
import { askerOf, basic, pushImage, withAuthorization } from './oci-client.ts';
import { seedKey } from './platform.ts';
import { parametersOf, type Route, requestOf } from './route-list.ts';

const never = '01a00000-0000-7000-8000-000000000000';

function unknownLike(name: string): string {
  if (/^[0-9a-f-]{36}$/.test(name)) return never;
  if (name.startsWith('sha256:')) return `sha256:${'0'.repeat(64)}`;
  return name.startsWith('ldg_') ? newSecret('token') : 'never-there';
}

/** Without what differs between any two answers, and without the names that were asked for. */
const comparable = ({ status, text }: DialectAnswer, ...names: readonly string[]): string =>
  names.reduce(
    (said, name) => said.replaceAll(name, '…').replaceAll(encodeURIComponent(name), '…'),
    `${status} ${text.replace(/"requestId":"[^"]*"/, '')}`,
  );

/** Asks for each thing of `foreign` in each parameter of the route, the others being of one's own or of `foreign` too. */
async function assertHidden(
  world: ManagementWorld,
  route: Route,
  foreign: Holdings,
  key: string,
  isHidden: (parameter: string) => boolean = () => true,
): Promise<number> {
  const { call, mine } = world;
  const rests = parametersOf(route).length === 1 ? [mine] : [mine, foreign];
  const cases = parametersOf(route)
    .filter(isHidden)
    .flatMap((parameter) =>
      namesOf(route, parameter, foreign).flatMap((name) => rests.map((rest) => ({ parameter, name, rest }))),
    );
  for (const { parameter, name, rest } of cases) {
    const body = bodyFor(world, route, mine);
    const ask = (value: string) =>
      call(requestOf(route, { ...valuesOf(route, rest), [parameter]: value }), { key, body });
    const [unknown, hidden] = [await ask(unknownLike(name)), await ask(name)];
    const what = `${route.method} ${route.url} with :${parameter} ${name}`;
    assert.ok(hidden.status >= 400 && hidden.status < 500, `${what}: ${hidden.status} ${hidden.text}`);
    assert.equal(comparable(hidden, name), comparable(unknown, unknownLike(name)), what);
    if (route.method !== 'HEAD') assertRefused(hidden, route.url, what);
  }
  return cases.length;
}

// Harbor's CVE-2022-31666 to 31671 were six lookups by id, each on a route of its own, that forgot the project.
test('what another team has is not found on any route, in the words for what never was', async (t) => {
  const world = await openManagementWorld(t);
  const unchanged = await snapshot(world);
  let asked = 0;
  for (const route of world.routes) asked += await assertHidden(world, route, world.theirs, world.mine.key);
  assert.ok(asked > 300, `only ${asked} questions`);
  assert.equal(await snapshot(world), unchanged);
});

/** What belongs to one project of the team, and a key that is bound to the other one. */
async function hideInProject({
  app,
  mine,
  call,
  platform,
}: ManagementWorld): Promise<{ hidden: Holdings; key: string }> {
  const post = async (path: string, body: object) => {
    const { status, json, text } = await call(`POST /lading/v1/${path}`, { body });
    assert.ok(status < 300, text);
    return json;
  };
  const registry = await post('registries', { name: 'hidden', project: mine.project });
  const gone = await post('registries', { name: 'hidden-gone', project: mine.project });
  const oci = withAuthorization(askerOf(app), basic(mine.key));
  const digest = await pushImage(oci, 'hidden/app/hidden', 'hidden-v1', ['a layer of its own']);
  const secret = { name: 'hidden', provider: 'ghcr', username: 'u', password: 'p' };
  const token = await post('tokens', { name: 'hidden', scope: 'ro', registryIds: [registry.id] });
  const apiKey = await post('api-keys', { name: 'hidden', permissions: ['*'], projectIds: [mine.project] });
  const hidden = {
    ...mine,
    ...{ registry: registry.id, registryName: 'hidden', repository: 'app/hidden', digest, tag: 'hidden-v1' },
    ...{ token: token.id, tokenSecret: token.secret, apiKey: apiKey.id, connectionSlug: 'hidden' },
    connection: (await post('connections', { ...secret, projectIds: [mine.project] })).id,
    operation: (await call(`DELETE /lading/v1/registries/${gone.id}`)).json.id,
  };
  const bound = await seedKey(platform, mine.team, { permissions: ['*'], projectIds: [mine.firstProject] });
  return { hidden, key: bound.secret };
}

/** Of these there is one for all projects. */
const isOfTheTeam = (parameter: string) => ['team', 'teamId', 'cluster'].includes(parameter);

test('what another project of the team has is not found by a key that is bound to one', async (t) => {
  const world = await openManagementWorld(t);
  const { hidden, key } = await hideInProject(world);
  const unchanged = await snapshot(world);
  let asked = 0;
  for (const route of world.routes) {
    asked += await assertHidden(world, route, hidden, key, (parameter) => !isOfTheTeam(parameter));
  }
  assert.ok(asked > 300, `only ${asked} questions`);
  assert.equal(await snapshot(world), unchanged);
});

test('no answer of any route shows what another team or, to a key bound to one, another project has', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, theirs, call } = world;
  const { hidden, key } = await hideInProject(world);
  const own = new Set(Object.values(mine));
  const traces = (held: Holdings) => Object.values(held).filter((value) => !own.has(value));
  for (const route of routes.filter(({ method }) => method === 'GET')) {
    const asked = requestOf(route, valuesOf(route, mine));
    for (const [held, who] of [
      [theirs, mine.key],
      [hidden, key],
    ] as const) {
      const { text } = await call(asked, { key: who });
      const shown = traces(held).filter((trace) => text.includes(trace));
      assert.deepEqual(shown, [], `${asked}: ${text}`);
    }
  }
});

test('a key without permissions opens nothing', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, platform, call } = world;
  const { secret: key } = await seedKey(platform, mine.team, { permissions: [] });
  const unchanged = await snapshot(world);
  for (const route of routes) {
    const { method, url } = route;
    if (/\/login$/.test(url)) continue;
    const answer = await call(requestOf(route, valuesOf(route, mine)), { key, body: bodyFor(world, route, mine) });
    // On one surface methods that there are not are told from paths that there are not.
    const isOther = /container-registries/.test(url) && answer.status === 405;
    if (isOther && !answer.headers.allow?.includes(method)) continue;
    assert.equal(answer.status, 403, `${method} ${url}: ${answer.text}`);
    if (method !== 'HEAD') assertRefused(answer, url, `${method} ${url}`);
  }
  assert.equal(await snapshot(world), unchanged);
});

test('whoever has no live API key is told nothing by any route', async (t) => {
  const world = await openManagementWorld(t);
  const { app, routes, mine, platform, call } = world;
  const [expired, revoked] = [await seedKey(platform, mine.team), await seedKey(platform, mine.team)];
  const expiry = { expires_at: platform.now() };
  await platform.db.updateTable('actors').set(expiry).where('id', '=', expired.actor.id).execute();
  // For as long a process may remember whom a key signs in.
  platform.clock.advance(10_000);
  assert.equal((await call('GET /v1/login', { key: revoked.secret })).status, 200);
  await call(`DELETE /lading/v1/api-keys/${revoked.actor.id}`);
  const { json } = await call(`GET /lading/v1/projects/${mine.project}/pull-secret`);
  const pullToken = Object.values<{ password: string }>(json.config.auths)[0]?.password ?? '';
  const given = await app.inject({ url: '/token', headers: { authorization: basic(mine.key) } });
  const accessToken = given.json().token;
  const keys = { expired: expired.secret, revoked: revoked.secret, token: mine.tokenSecret, robot: mine.robotSecret };
  const unchanged = await snapshot(world);
  for (const [kind, key] of Object.entries({ none: '', ...keys, pullToken, accessToken, unknown: newSecret('key') })) {
    assert.ok(key || kind === 'none', kind);
    for (const route of routes) {
      const answer = await call(requestOf(route, valuesOf(route, mine)), { key, body: bodyFor(world, route, mine) });
      const what = `${kind}: ${route.method} ${route.url}`;
      assert.equal(answer.status, 401, `${what}: ${answer.text}`);
      if (route.method !== 'HEAD') assertRefused(answer, route.url, what);
      const shown = Object.values(mine).filter((value) => answer.text.includes(value));
      assert.deepEqual(shown, [], `${what}: ${answer.text}`);
    }
  }
  assert.equal(await snapshot(world), unchanged);
});

// Gitea had fifteen routes on which a token meant more when it came another way.
test('a key has the same rights however it is sent, and is none where no key belongs', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, platform, call } = world;
  const { secret: poor } = await seedKey(platform, mine.team, { permissions: ['registries:read'] });
  for (const route of routes.filter(({ method }) => method === 'GET')) {
    const asked = requestOf(route, valuesOf(route, mine));
    for (const key of [mine.key, poor]) {
      const expected = (await call(asked, { key })).status;
      const by = async (headers: Record<string, string>, query = '') =>
        (await call(`${asked}${query}`, { key: '', headers })).status;
      assert.equal(await by({ authorization: basic(key) }), expected, `${asked} by Basic`);
      const isSelectel = /^\/(?:selectel\/)?api\//.test(route.url);
      assert.equal(await by({ 'x-auth-token': key }), isSelectel ? expected : 401, `${asked} by X-Auth-Token`);
      assert.equal(await by({ cookie: `token=${key}; authorization=Bearer ${key}` }), 401, `${asked} by a cookie`);
      assert.equal(await by({}, `?access_token=${key}&api_key=${key}&token=${key}`), 401, `${asked} by a query`);
      const others = { 'proxy-authorization': `Bearer ${key}`, 'x-api-key': key, 'x-forwarded-user': 'owner' };
      assert.equal(await by(others), 401, `${asked} by other headers`);
    }
  }
});

test('no answer lets a page of another site read it, keeps anything in a browser, or could pass for a page', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, call } = world;
  const headers = { origin: 'https://evil.example.com', 'access-control-request-method': 'DELETE' };
  for (const route of routes.filter(({ method }) => /^(?:GET|OPTIONS|PATCH)$/.test(method))) {
    const answer = await call(requestOf(route, valuesOf(route, mine)), { headers, body: bodyFor(world, route, mine) });
    const what = `${route.method} ${route.url}`;
    const named = Object.keys(answer.headers).filter((name) => /^(?:access-control-|set-cookie)/.test(name));
    assert.deepEqual(named, [], what);
    if (answer.text !== '') assert.match(answer.headers['content-type'] ?? '', /^application\/(?:\w+\+)?json/, what);
    assert.equal(answer.headers['cache-control'], 'no-store', what);
  }
});

test('a key that has used up its requests is refused by every route', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, platform } = world;
  platform.config = { ...platform.config, requestsPerHour: 1 };
  const app = await buildApp(platform);
  t.after(() => app.close());
  const call = callerOf(app, (await seedKey(platform, mine.team)).secret, '');
  assert.equal((await call('GET /v1/login')).status, 200);
  for (const route of routes) {
    const answer = await call(requestOf(route, valuesOf(route, mine)), { body: bodyFor(world, route, mine) });
    const what = `${route.method} ${route.url}`;
    assert.deepEqual(
      [answer.status, Number(answer.headers['retry-after']) > 0],
      [429, true],
      `${what}: ${answer.text}`,
    );
    if (route.method !== 'HEAD') assertRefused(answer, route.url, what);
  }
});

test('no body names what another team has, in the words for what never was', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, theirs, call } = world;
  const fields: readonly ((project: string, registry: string) => object)[] = [
    (project) => ({ projectIds: [project] }),
    (project) => ({ project }),
    (_, registry) => ({ registryIds: [registry] }),
    (project) => ({ restrictions: { restricted: true, projects: [project] } }),
    (_, registry) => ({ scope: { allRegistries: false, modeRW: false, registryIds: [mine.registry, registry] } }),
  ];
  const names = [[theirs.project, theirs.registry] as const, [theirs.projectSlug, theirs.registryName] as const];
  const naming: Readonly<Record<string, readonly RegExp[]>> = {
    POST: [/\/registries$/, /\/tokens$/, /\/connections$/, /\/api-keys$/],
    PATCH: [/\/tokens\/:id$/, /\/connections\/:connection$/, /registries\/:credentialId$/],
  };
  let refused = 0;
  for (const route of routes.filter(({ method, url }) => naming[method]?.some((pattern) => pattern.test(url)))) {
    for (const field of fields) {
      for (const [project, registry] of names) {
        const ask = (body: object) =>
          call(requestOf(route, valuesOf(route, mine)), { body: { ...bodyFor(world, route, mine), ...body } });
        const unknown = await ask(field(unknownLike(project), unknownLike(registry)));
        // A field that means nothing here, or nothing in this form.
        if (unknown.status < 300) continue;
        const answer = await ask(field(project, registry));
        const what = `${route.method} ${route.url} ${JSON.stringify(field(project, registry))}`;
        const expected = comparable(unknown, unknownLike(project), unknownLike(registry));
        assert.equal(comparable(answer, project, registry), expected, what);
        refused++;
      }
    }
  }
  assert.ok(refused > 20, `only ${refused}`);
});
