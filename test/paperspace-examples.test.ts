import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Compile } from 'typebox/compile';
import { callerOf, type DialectAnswer, type Json, openDialect } from './dialect-client.ts';
import { fillIn, type HttpExample, parseHttpFile } from './http-file.ts';
import { bases, looksRefused, type PaperspaceForm, paperspaceOperations } from './paperspace-operations.ts';
import { startRegistry } from './servers/registry.ts';

const read = (form: PaperspaceForm) =>
  parseHttpFile(readFileSync(join(import.meta.dirname, `../examples/paperspace/${form}.http`), 'utf8'));
const forms = Object.keys(bases) as PaperspaceForm[];

for (const form of forms) {
  for (const base of bases[form]) {
    test(`the examples of ${form} work at ${base} one after the other, and answer what the document says`, async (t) => {
      const { app, team } = await openDialect(t);
      const { url } = await startRegistry(t);
      const { variables, examples } = read(form);
      const values: Record<string, string> = {
        base,
        key: team.secret,
        url,
        username: 'alice',
        password: 'correct horse',
      };
      for (const name of variables.keys()) assert.ok(name in values, `the test has no ${name}`);
      const call = callerOf(app, '', '');
      const answers = new Map<string, Json>();
      for (const example of examples) {
        const fill = (text: string) => fillIn(text, values, answers);
        const headers = Object.fromEntries(Object.entries(example.headers).map(([name, value]) => [name, fill(value)]));
        const body = example.body === undefined ? undefined : fill(example.body);
        const answer = await call(`${example.method} ${fill(example.url)}`, { headers, body });
        check(form, example, answer);
        if (example.name !== undefined) answers.set(example.name, answer.json);
        if (example.title.startsWith('Test')) assert.equal(answer.json.success, true, answer.text);
      }
    });
  }
}

function check(form: PaperspaceForm, example: HttpExample, { status, text, json }: DialectAnswer): void {
  const path = example.url
    .replace('{{base}}', '')
    .replace(/\?.*$/, '')
    .replaceAll(/\{\{[^}]+\}\}/g, '{id}');
  const operation = paperspaceOperations.find((one) => one.form === form && one.route === `${example.method} ${path}`);
  assert.ok(operation, `${example.title} is no operation of ${form}`);
  assert.equal(status, operation.status, `${example.title}: ${text}`);
  if (operation.answer === undefined) assert.equal(text, '', `${example.title} has a body`);
  else assert.deepEqual(Compile(operation.answer).Errors(json), [], `${example.title}: ${text}`);
  assert.ok(!looksRefused(json), `${example.title}: the vendor's client takes this for a refusal`);
}

test('there is an example for each of the twelve operations', () => {
  assert.equal(paperspaceOperations.length, 12);
  for (const { form, title } of paperspaceOperations) {
    assert.ok(
      read(form).examples.some((one) => one.title === title),
      `${form}: ${title}`,
    );
  }
});
