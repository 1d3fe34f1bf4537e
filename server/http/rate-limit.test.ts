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

const sentence = 'This API key may make 1 requests an hour and has made them. Try again in 50 minutes.';
const surfaces: readonly [string, object][] = [
  ['/lading/v1/registries', { type: '/problems/throttled', title: 'Too many requests', status: 429, detail: sentence }],
  ['/api/v1/registries', { error: sentence }],
  ['/api/v2/registries', { error: sentence }],
  ['/v1/container-registries', { code: 'TOO_MANY_REQUESTS', message: sentence }],
  ['/paperspace-apisio/v1/container-registries', { code: 'TOO_MANY_REQUESTS', message: sentence }],
  ['/v1/container_registries', { status: 429, error: sentence }],
  ['/v1/integrations/registries', { error: { status: 429, message: sentence, id: 'throttled' } }],
  ['/v1/login', { error: { status: 429, message: sentence, id: 'throttled' } }],
];
for (const [url, body] of surfaces) {
  test(`a key that asks too often is refused at ${url} in its own form, until its hour is over`, async (t) => {
    const { platform, ask } = await open(t, 1);
    assert.equal((await ask('/lading/v1/registries')).status, 200);
    platform.clock.advance(10 * 60_000);
    const { answer, status, limits } = await ask(url);
    const { requestId: _, ...said } = answer.json();
    assert.deepEqual([status, said], [429, body]);
    assert.deepEqual([...limits, answer.headers['retry-after']], ['1', '0', '3000', '3000']);
    platform.clock.advance(50 * 60_000);
    const later = await ask(url);
    assert.notEqual(later.status, 429);
    assert.deepEqual(later.limits, ['1', '0', '3600']);
  });
}

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
