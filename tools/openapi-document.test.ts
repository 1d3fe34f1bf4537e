import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeTestDirectory } from '#test/database.ts';
import { checkOpenApi, renderOpenApi } from './openapi-document.ts';

const repository = join(import.meta.dirname, '..');

test('the kept document is what the API publishes, and any other is out of step', async (t) => {
  assert.deepEqual(await checkOpenApi(repository), []);
  const root = makeTestDirectory(t);
  assert.equal((await checkOpenApi(root)).length, 1, 'none at all');
  mkdirSync(join(root, 'docs'));
  const kept = readFileSync(join(repository, 'docs/openapi.json'), 'utf8');
  writeFileSync(join(root, 'docs/openapi.json'), kept.replace('"sizeLimitBytes"', '"limitBytes"'));
  assert.equal((await checkOpenApi(root)).length, 1, 'a field of another name');
});

test('every answer of every endpoint has a schema with a name, refusals too', async () => {
  const document = JSON.parse(await renderOpenApi());
  assert.equal(document.openapi, '3.1.0');
  const seen = new Set<string>();
  for (const [path, operations] of Object.entries<Record<string, Operation>>(document.paths)) {
    for (const [method, { operationId, summary, responses, requestBody }] of Object.entries(operations)) {
      const name = `${method} ${path}`;
      assert.ok(operationId && summary && !seen.has(operationId), name);
      seen.add(operationId);
      for (const status of ['400', '401', '403', '500']) assert.ok(responses[status], `${name} ${status}`);
      for (const [status, { content }] of Object.entries(responses)) {
        if (status === '204') continue;
        const [[type, media] = []] = Object.entries(content ?? {});
        assert.equal(type, Number(status) < 300 ? 'application/json' : 'application/problem+json', `${name} ${status}`);
        // What a query chooses among has several.
        const schemas = media?.schema.anyOf ?? [media?.schema];
        assert.ok(schemas.length > 0, name);
        for (const one of schemas) assert.match(one?.$ref ?? '', /^#\/components\/schemas\/\w+$/, `${name} ${status}`);
      }
      if (requestBody) assert.ok(requestBody.content['application/json']?.schema.$ref, name);
    }
  }
  assert.ok(seen.size >= 30);
});

type Media = Record<string, { schema: { $ref?: string; anyOf?: { $ref?: string }[] } }>;
type Operation = {
  operationId: string;
  summary: string;
  responses: Record<string, { content?: Media }>;
  requestBody?: { content: Media };
};
