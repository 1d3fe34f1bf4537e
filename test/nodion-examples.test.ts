import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Compile } from 'typebox/compile';
import { callerOf, type Json } from './dialect-client.ts';
import { fillIn, parseHttpFile } from './http-file.ts';
import { nodionOperations } from './nodion-operations.ts';
import { openNodion } from './nodion-world.ts';

const { variables, examples } = parseHttpFile(
  readFileSync(join(import.meta.dirname, '../examples/nodion/v1.http'), 'utf8'),
);

for (const base of ['/v1', '/nodion/v1']) {
  test(`the examples work at ${base} one after the other, and answer what the document says`, async (t) => {
    const { app, call: own, team } = await openNodion(t);
    const managed = (await own('GET ')).json.container_registries[0].id;
    const place = { hostname: 'registry.example.com', username: 'alice', password: 'planted-password' };
    const values: Record<string, string> = { ...place, base, key: team.secret, project: team.projectId, managed };
    for (const name of variables.keys()) assert.ok(name in values, `the test has no ${name}`);
    const call = callerOf(app, '', '');
    const answers = new Map<string, Json>();
    for (const { title, name, method, url, headers: given, body } of examples) {
      const fill = (text: string) => fillIn(text, values, answers);
      const headers = Object.fromEntries(Object.entries(given).map(([header, value]) => [header, fill(value)]));
      const answer = await call(`${method} ${fill(url)}`, { headers, body: body && fill(body) });
      const operation = nodionOperations.find((one) => one.title === title);
      assert.ok(operation, `${title} is no operation`);
      assert.equal(answer.status, operation.status, `${title}: ${answer.text}`);
      assert.deepEqual(Compile(operation.answer).Errors(answer.json), [], `${title}: ${answer.text}`);
      assert.ok(!answer.text.includes('planted-password'), title);
      if (name !== undefined) answers.set(name, answer.json);
    }
  });
}

test('there is an example for each operation', () => {
  const titles = new Set(examples.map(({ title }) => title));
  const shown = nodionOperations.filter(({ route }) => route !== 'GET /container_registries/{managed}');
  assert.deepEqual([...titles].sort(), shown.map(({ title }) => title).sort());
});
