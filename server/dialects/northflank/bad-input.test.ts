// Hostile text where the tests of every dialect do not look. Whatever comes, the answer is a refusal in the vendor's form,
// never a 500.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { dockerHub, openNorthflank, registries } from '#test/northflank-client.ts';
import { assertRefused, openWorld } from '#test/northflank-world.ts';

test('paths and methods that are not there are not found, in the vendor’s form, under both prefixes', async (t) => {
  const { app, send, make, team } = await openWorld(t);
  const mine = await make(team);
  const one = `${registries}/${mine.id}`;
  const asked = [
    ...[
      `PUT ${registries}`,
      `PATCH ${registries}`,
      `DELETE ${registries}`,
      `POST ${one}`,
      `PUT ${one}`,
      `TRACE ${one}`,
    ],
    ...[
      `GET ${one}/modify`,
      `POST ${one}/modify/x`,
      'GET /integrations',
      'GET /teams',
      'GET /teams/acme',
      'GET /login/x',
    ],
    ...[
      'POST /login',
      'GET /integrations/registry',
      'GET /teams/acme/integrations',
      `GET ${registries}/../registries/x`,
    ],
    ...[`GET ${registries}/${'a/'.repeat(200)}`, `GET /teams//integrations/registries`, `GET /teams/a/b${registries}`],
  ];
  for (const one of asked) assertRefused(await send(one), one, 404);
  for (const url of [
    '/northflank/v1/integrations/registries/%zz',
    '/northflank/v1/nothing',
    '/northflank',
    '/v1/teams/%zz',
  ]) {
    const { statusCode, json } = await app.inject({ url });
    assert.ok(statusCode === 400 || statusCode === 404, url);
    assert.deepEqual([json().error.status, typeof json().error.id], [statusCode, 'string'], url);
  }
});

const values: unknown[] = [0, -1, 1.5, 1e308, 'a\0b', '\ud800', 'x'.repeat(5000), true, {}, { toString: 'x' }, []];
values.push([[]], [null], [1], ['\0'], ['a'.repeat(100_000)], { auth: null }, { '': {} }, { __proto: {} }, '\u202e');

const fields = ['name', 'description', 'provider', 'registryUrl', 'username', 'password', 'keyfile', 'auths'];
fields.push('credentials', 'restrictions', 'aws');
const nested = ['credentials.username', 'credentials.password', 'restrictions.restricted', 'restrictions.projects'];
nested.push('aws.region', 'auths.a example', 'auths.a\0b', 'auths.__proto', 'keyfile.type');

test('no value of a body is more than invalid', async (t) => {
  const { send, make, team } = await openWorld(t);
  const mine = await make(team);
  const routes = [`POST ${registries}`, `PATCH ${registries}/${mine.id}`, `POST ${registries}/${mine.id}/modify`];
  let count = 0;
  for (const field of [...fields, ...nested]) {
    const [name = '', inner] = field.split('.');
    for (const value of values) {
      for (const provider of ['custom', 'ecr']) {
        const given = { [name]: inner === undefined ? value : { [inner]: value } };
        const body = { name: `any-${count++}`, provider, registryUrl: 'a.example', ...given };
        for (const route of routes) {
          const answer = await send(route, { body: route.startsWith(`POST ${registries}`) ? body : given });
          const what = `${route} ${JSON.stringify(given).slice(0, 60)}`;
          if (answer.status !== 200) assertRefused(answer, what, 400, 409);
        }
      }
    }
  }
});

test('a field of the wrong kind is refused by its name', async (t) => {
  const { send } = await openWorld(t);
  const cases: [object, RegExp][] = [
    [{ name: 5 }, /^name must be a text/],
    [{ name: undefined }, /^name is missing/],
    [{ provider: [] }, /^provider must be a text/],
    [{ description: {} }, /^description must be a text/],
    [{ description: 'a\0' }, /^description must be/],
    [{ username: 5 }, /^username must be a text/],
    [{ password: ['x'] }, /^password must be a text/],
    [{ password: 'a\nb' }, /^password must be one line/],
    [{ registryUrl: true }, /^registryUrl must be a text/],
    [{ keyfile: 5 }, /^keyfile must be an object/],
    [{ auths: 'x' }, /^auths must be an object/],
    [{ credentials: 'x' }, /^credentials must be an object/],
    [{ restrictions: [] }, /^restrictions must be an object/],
    [{ restrictions: { restricted: 'true' } }, /^restricted must be true or false/],
    [{ restrictions: { restricted: true, projects: 'default' } }, /^projects must be a list of texts/],
  ];
  for (const [given, message] of cases) {
    const answer = await send(`POST ${registries}`, { body: dockerHub('any', given) });
    assertRefused(answer, JSON.stringify(given), 400);
    assert.match(answer.json.error.message, message);
  }
});

test('a fault of the server says nothing of itself', async (t) => {
  const { call, platform } = await openNorthflank(t);
  await sql`alter table connections rename to gone`.execute(platform.db);
  const { status, json, headers } = await call(`GET ${registries}`);
  assert.deepEqual([status, json.error.status, json.error.id], [500, 500, 'internal']);
  assert.doesNotMatch(json.error.message, /connections|table|SQL/i);
  assert.equal(headers['cache-control'], 'no-store');
});
