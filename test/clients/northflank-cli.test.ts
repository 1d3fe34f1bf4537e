// Northflank's command line, `northflank`: every verb it has for registry credentials.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ask, useLading } from './suite.ts';

const suite = useLading(async ({ bench, lading }) => {
  const printed = await bench.run('northflank', loginWith(lading.key, lading.url));
  assert.match(printed, /Successfully logged in/);
});

const loginWith = (key: string, host: string) => ['login', '--name', 'lading', '--token', key, '--host', host];
const run = (...args: string[]) => suite.bench.run('northflank', args);
const refused = (...args: string[]) => suite.bench.refused('northflank', args);
const noun = 'registry-credentials';

/** What the command printed as JSON, behind lines of its own. */
async function asked(...args: string[]) {
  const printed = await run(...args, '--output', 'json');
  return JSON.parse(printed.slice(printed.indexOf('{')));
}

const definition = {
  name: 'Example Credentials',
  description: 'This is a set of saved credentials.',
  provider: 'dockerhub',
  username: 'bob',
  password: 'a password',
  restrictions: { restricted: true, projects: ['default'] },
};

test('a login is refused with a key that is not this server’s', async () => {
  const home = join(suite.bench.dir, 'stranger');
  await mkdir(home);
  const args = loginWith('ldg_key_unknown', suite.lading.url);
  const printed = await suite.bench.run('northflank', args, { env: { HOME: home } });
  assert.doesNotMatch(printed, /Successfully/);
  assert.match(await suite.bench.refused('northflank', ['list', noun], { env: { HOME: home } }), /No CLI context/);
});

test('credentials are added, listed, shown, updated and deleted', async () => {
  const file = join(suite.bench.dir, 'credentials.json');
  await writeFile(file, JSON.stringify(definition));
  const { createdAt, updatedAt, ...made } = await asked('add', noun, '--file', file);
  const listed = {
    id: 'example-credentials',
    name: definition.name,
    description: definition.description,
    restrictions: definition.restrictions,
    provider: 'dockerhub',
  };
  assert.deepEqual(made, { ...listed, registryUrl: 'docker.io' });
  assert.deepEqual(await asked('list', noun), { credentials: [listed] });
  assert.match(await run('list', noun), /example-credentials/);

  const one = ['--credentialId', 'example-credentials'];
  const { credentials, ...got } = await asked('get', noun, ...one);
  assert.deepEqual(got, { ...made, createdAt, updatedAt });
  assert.deepEqual(credentials, { username: 'bob', password: 'a password', scope: { pull: true } });

  const change = { description: 'Changed.', username: 'eve', password: 'new', restrictions: { restricted: false } };
  assert.match(await run('update', noun, ...one, '--input', JSON.stringify(change)), /completed successfully/);
  const after = await asked('get', noun, ...one);
  assert.deepEqual([after.description, after.restrictions.restricted], ['Changed.', false]);
  assert.deepEqual([after.credentials.username, after.credentials.password], ['eve', 'new']);

  assert.match(await run('delete', noun, ...one, '--force'), /completed successfully/);
  assert.deepEqual(await asked('list', noun), { credentials: [] });
});

test('a refusal is printed with its sentence, status and id', async () => {
  const missing = await refused('get', noun, '--credentialId', 'nothing');
  assert.match(missing, /There are no such registry credentials\. \(HTTP status code: 404, NF error id: not_found\)/);
  const input = JSON.stringify({ ...definition, provider: 'legacy' });
  const invalid = await refused('add', noun, '--skipValidation', '--input', input);
  assert.match(invalid, /provider must be one of .*HTTP status code: 400, NF error id: invalid/);
});

test('a list of three pages is loaded whole, and by page', async () => {
  const names = Array.from({ length: 130 }, (_, i) => `many-${i}`);
  for (const name of names) {
    const answer = await ask(suite.lading, 'POST', '/v1/integrations/registries', { ...definition, name });
    assert.equal(answer.status, 200);
  }
  const namesOf = ({ credentials }: { credentials: { name: string }[] }) => credentials.map(({ name }) => name);
  assert.deepEqual(namesOf(await asked('list', noun, '--loadAll')), names);
  const page = ['--per_page', '60', '--page', '3'];
  assert.deepEqual(namesOf(await asked('list', noun, ...page)), names.slice(120));
  const answer = await ask(suite.lading, 'GET', '/v1/integrations/registries?per_page=100');
  const { pagination } = (await answer.json()) as { pagination: { cursor: string } };
  // The command takes cursors of exactly 24 characters.
  assert.deepEqual(namesOf(await asked('list', noun, '--cursor', pagination.cursor)), names.slice(100));
});
