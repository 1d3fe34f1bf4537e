import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InjectOptions } from 'fastify';
import { openSelectel } from '#test/selectel-client.ts';

test('the clusters that a registry is connected to are listed by name, until they are disconnected', async (t) => {
  const { app, call, team } = await openSelectel(t);
  const native = async (request: string, payload?: object) => {
    const [method, path] = request.split(' ') as [NonNullable<InjectOptions['method']>, string];
    const headers = { authorization: `Bearer ${team.secret}` };
    const answer = await app.inject({ method, url: `/lading/v1${path}`, headers, ...(payload && { payload }) });
    assert.ok(answer.statusCode < 300, answer.body);
    return answer.body === '' ? undefined : answer.json();
  };
  const listed = async () => (await call(`GET /v1/registries/${team.registryId}/clusters`)).json;
  assert.deepEqual(await listed(), { clusters: [], totalCount: 0 });

  const clusters = [];
  for (const [name, pool] of [
    ['west', 'ru-9'],
    ['east', 'ru-7'],
    ['idle', 'ru-1'],
  ]) {
    const made = await native('POST /clusters', { name, pool, server: 'https://127.0.0.1:1', token: 'secret' });
    clusters.push({ id: made.id, name, pool });
  }
  const [west, east] = clusters;
  for (const one of [west, east]) {
    const body = { namespaces: ['default'], secretName: 'pull' };
    await native(`PUT /registries/acme/clusters/${one?.id}`, body);
  }
  assert.deepEqual(await listed(), { clusters: [east, west], totalCount: 2 });
  await native(`DELETE /registries/acme/clusters/${west?.id}`);
  assert.deepEqual(await listed(), { clusters: [east], totalCount: 1 });
});
