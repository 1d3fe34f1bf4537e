import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildApp } from '#server/app.ts';
import type { Scope } from '#test/database.ts';
import { openTestPlatform, seedTeam } from '#test/platform.ts';

async function open(t: Scope, requestsPerHour: number | null) {
  const platform = await openTestPlatform(t);
  platform.config.requestsPerHour = requestsPerHour;
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  t.after(() => app.close());
  const ask = async (url: string, headers: Record<string, string> = { authorization: `Bearer ${team.secret}` }) => {
    const answer = await app.inject({ url, headers });
    const {
      'x-ratelimit-limit': limit,
      'x-ratelimit-remaining': remaining,
      'x-ratelimit-reset': reset,
    } = answer.headers;
    return { answer, status: answer.statusCode, limits: [limit, remaining, reset] };
  };
  return { platform, team, ask };
}

const none = [undefined, undefined, undefined];

test('every answer of a management API says how many requests are left, refusals too', async (t) => {
  const { platform, team, ask } = await open(t, 5);
  const token = { 'x-auth-token': team.secret };
  const seen = [];
  for (const [url, headers] of [
    ['/lading/v1/registries'],
    ['/lading/v1/registries/nowhere'],
    ['/api/v1/registries', token],
    ['/selectel/api/v2/registries', token],
  ] as const) {
    const { status, limits } = await ask(url, headers);
    seen.push([status, ...limits]);
    platform.clock.advance(60_000);
  }
  assert.deepEqual(seen, [
    [200, '5', '4', '3600'],
    [404, '5', '3', '3540'],
    [200, '5', '2', '3480'],
    [200, '5', '1', '3420'],
  ]);
});

test('a key that asks too often is refused in the words of the surface, until its hour is over', async (t) => {
  const { platform, team, ask } = await open(t, 1);
  assert.equal((await ask('/lading/v1/registries')).status, 200);
  platform.clock.advance(10 * 60_000);
  const sentence = 'This API key may make 1 requests an hour and has made them. Try again in 50 minutes.';
  const native = await ask('/lading/v1/registries');
  const { type, detail } = native.answer.json();
  assert.deepEqual([native.status, type, detail], [429, '/problems/throttled', sentence]);
  const selectel = await ask('/api/v1/registries', { 'x-auth-token': team.secret });
  assert.deepEqual([selectel.status, selectel.answer.json()], [429, { error: sentence }]);
  for (const { answer, limits } of [native, selectel]) {
    assert.deepEqual([...limits, answer.headers['retry-after']], ['1', '0', '3000', '3000']);
  }
  platform.clock.advance(50 * 60_000);
  assert.equal((await ask('/lading/v1/registries')).status, 200);
});

// A team must not lose its pulls to somebody who lists registries in a loop.
test('pulls, access tokens and what needs no key are not counted', async (t) => {
  const { team, ask } = await open(t, 1);
  const authorization = `Basic ${Buffer.from(`owner:${team.secret}`).toString('base64')}`;
  for (const path of ['/v2/', '/v2/acme/app/tags/list', '/token?service=x', '/lading/v1/openapi.json', '/healthz']) {
    for (let i = 0; i < 2; i++) {
      const { status, limits } = await ask(path, { authorization });
      assert.notEqual(status, 429, path);
      assert.deepEqual(limits, none, path);
    }
  }
  assert.deepEqual((await ask('/lading/v1/registries')).limits, ['1', '0', '3600']);
});

test('who has no API key is told nothing of limits and uses up nobody’s requests', async (t) => {
  const { ask } = await open(t, 2);
  for (const headers of [{}, { authorization: 'Bearer ldg_key_nobody' }] as Record<string, string>[]) {
    const { status, limits } = await ask('/lading/v1/registries', headers);
    assert.deepEqual([status, ...limits], [401, ...none]);
  }
  assert.deepEqual((await ask('/lading/v1/registries')).limits, ['2', '1', '3600']);
});

test('many requests of one key at once: exactly the limit is answered', async (t) => {
  const { ask } = await open(t, 40);
  const answers = await Promise.all(Array.from({ length: 120 }, () => ask('/lading/v1/registries')));
  const statuses = Map.groupBy(answers, ({ status }) => status);
  assert.deepEqual([statuses.get(200)?.length, statuses.get(429)?.length], [40, 80]);
});

test('without a limit there are no headers of one', async (t) => {
  const { ask } = await open(t, null);
  for (let i = 0; i < 3; i++) {
    const { status, limits } = await ask('/lading/v1/registries');
    assert.deepEqual([status, ...limits], [200, ...none]);
  }
});
