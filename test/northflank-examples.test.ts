import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { Compile } from 'typebox/compile';
import type { Json } from './dialect-client.ts';
import { fillIn, type HttpExample, parseHttpFile } from './http-file.ts';
import { openNorthflank } from './northflank-client.ts';
import { northflankOperations } from './northflank-operations.ts';

const { variables, examples } = parseHttpFile(
  readFileSync(join(import.meta.dirname, '../examples/northflank/v1.http'), 'utf8'),
);

for (const base of ['/northflank/v1', '/v1']) {
  test(`the examples work at ${base} one after the other, and answer what the vendor does`, async (t) => {
    const { app, team } = await openNorthflank(t);
    const values: Record<string, string> = { base, key: team.secret, team: team.teamId, project: 'default' };
    for (const name of variables.keys()) assert.ok(name in values, `the test has no ${name}`);
    const answers = new Map<string, Json>();
    for (const example of examples) {
      const json = await send(app, example, (text) => fillIn(text, values, answers));
      if (example.name !== undefined) answers.set(example.name, json);
    }
  });
}

test('there is one example for each operation and each kind of body', () => {
  assert.deepEqual(
    examples.map(({ title }) => title),
    northflankOperations.map(({ title }) => title),
  );
});

async function send(
  app: FastifyInstance,
  { title, method, url, headers, body }: HttpExample,
  fill: (text: string) => string,
): Promise<Json> {
  const operation = northflankOperations.find((one) => one.title === title);
  assert.ok(operation, `${title} is no operation`);
  const path = url
    .replace('{{base}}', '')
    .replace(/\?.*$/, '')
    .replaceAll(/\{\{[^}]+\}\}/g, '*');
  assert.equal(`${method} ${path}`, operation.route.replaceAll(/\{\w+\}/g, '*'), title);
  const response = await app.inject({
    method: method as NonNullable<InjectOptions['method']>,
    url: fill(url),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, fill(value)])),
    ...(body !== undefined && { payload: fill(body) }),
  });
  assert.equal(response.statusCode, 200, `${title}: ${response.body}`);
  assert.match(String(response.headers['content-type']), /^application\/json/, title);
  assert.deepEqual(Compile(operation.answer).Errors(response.json()), [], `${title}: ${response.body}`);
  return response.json();
}
