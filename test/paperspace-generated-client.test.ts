// What people get who make a client of the OpenAPI description of form A.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import createClient from 'openapi-fetch';
import { parse } from 'yaml';
import { openDialect } from './dialect-client.ts';
import type { paths } from './paperspace-form-a.ts';
import { startRegistry } from './servers/registry.ts';

test('a generated client of form A does its six operations', async (t) => {
  const { app, team } = await openDialect(t);
  const registry = await startRegistry(t);
  const server = await app.listen({ host: '127.0.0.1', port: 0 });
  const client = createClient<paths>({
    baseUrl: `${server}/paperspace-apisio/v1`,
    headers: { authorization: `Bearer ${team.secret}` },
  });
  const body = { name: 'generated', url: registry.url, username: 'alice', password: 'correct horse' };

  const made = await client.POST('/container-registries', { body });
  assert.equal(made.response.status, 201);
  const { id = '', dtCreated = '', ...rest } = made.data ?? {};
  assert.deepEqual(rest, { name: 'generated', url: registry.url, username: 'alice', teamId: team.teamId });
  assert.ok(!Number.isNaN(Date.parse(dtCreated)));

  const listed = await client.GET('/container-registries');
  assert.deepEqual(listed.data, [made.data]);
  const params = { path: { id } };
  assert.deepEqual((await client.GET('/container-registries/{id}', { params })).data, made.data);
  const tested = await client.GET('/container-registries/{id}/test-connection', { params });
  assert.ok(tested.data?.success, tested.data?.message ?? 'no message');

  const changed = await client.PUT('/container-registries/{id}', {
    params,
    body: { ...body, name: 'renamed', password: 'wrong' },
  });
  assert.deepEqual(changed.data, { ...made.data, name: 'renamed' });
  const failed = await client.GET('/container-registries/{id}/test-connection', { params });
  assert.equal(failed.data?.success, false);
  assert.ok(failed.data?.message);

  const deleted = await client.DELETE('/container-registries/{id}', { params });
  assert.deepEqual([deleted.response.status, deleted.error], [204, undefined]);
  const gone = await client.GET('/container-registries/{id}', { params });
  assert.deepEqual([gone.response.status, gone.error?.code], [404, 'NOT_FOUND']);
});

test('the generated types are those of the description', () => {
  const read = (path: string) => readFileSync(join(import.meta.dirname, path), 'utf8');
  const description = parse(read('../examples/paperspace/form-a.openapi.yaml'));
  const types = read('paperspace-form-a.ts');
  for (const [path, item] of Object.entries<Record<string, { operationId?: string }>>(description.paths)) {
    assert.ok(types.includes(path), path);
    for (const { operationId } of Object.values(item)) if (operationId) assert.ok(types.includes(operationId));
  }
  const { properties } = description.components.schemas.ContainerRegistry;
  for (const field of Object.keys(properties)) assert.match(types, new RegExp(`\\b${field}\\?: string`), field);
});
