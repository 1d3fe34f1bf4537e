import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import { permissions } from '#core/permissions.ts';
import { buildApp } from '#server/app.ts';
import { makeTestDirectory } from './database.ts';
import { askerOf, basic, pushImage, withAuthorization } from './oci-client.ts';
import { openTestPlatform, seedTeam } from './platform.ts';

const root = join(import.meta.dirname, '..');
const read = (page: string) => readFileSync(join(root, page), 'utf8');

/** In the order in which they are found. What needs a client of its own is pasted by the tests of that client. */
const pages = [
  'README.md',
  'docs/api.md',
  'docs/pull-secrets.md',
  'docs/clusters.md',
  ...['selectel', 'northflank', 'paperspace', 'nodion'].map((name) => `docs/dialects/${name}.md`),
];

const needsMore = /^(?:npm|docker|podman|northflank) /m;

/** Each `sh` block, in order, with the server and the key of the test. */
function examplesOf(page: string, url: string, key: string): string {
  const blocks = [...read(page).matchAll(/^```sh\n(.*?)^```/gms)].map((one) => one[1] ?? '');
  const script = blocks
    .filter((block) => !needsMore.test(block))
    .join('')
    .replaceAll('http://127.0.0.1:8080', url)
    .replaceAll('$(cat data/bootstrap-key)', key);
  assert.ok(script.includes(url) && script.includes(key), page);
  return script;
}

/** What the script writes, if every line of it succeeds. */
async function paste(script: string, cwd: string, env: Record<string, string>): Promise<string> {
  const shell = spawn('bash', ['-euo', 'pipefail', '-c', script], { cwd, env: { PATH: process.env.PATH, ...env } });
  const output: Buffer[] = [];
  for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (chunk) => output.push(chunk));
  const code = await new Promise((resolve) => shell.once('close', resolve));
  const text = Buffer.concat(output).toString();
  assert.equal(code, 0, text.slice(-2000));
  return text;
}

/** What the page on the API says that there is. */
async function prepare(app: FastifyInstance, secret: string): Promise<Record<string, string>> {
  const oci = withAuthorization(askerOf(app), basic(secret));
  const digest = await pushImage(oci, 'default/backend/api', 'v1');
  await pushImage(oci, 'default/backend/api', 'old');
  await pushImage(oci, 'default/backend/api', 'other', ['another layer']);
  const headers = { authorization: `Bearer ${secret}` };
  const post = async (path: string, payload: object): Promise<{ id: string }> =>
    (await app.inject({ method: 'POST', url: `/lading/v1${path}`, headers, payload })).json();
  const token = await post('/tokens', { scope: 'rw', registryIds: null, expiresAt: '2099-01-01T00:00:00Z' });
  const key = await post('/api-keys', { name: 'k', permissions: ['audit:read'] });
  const gone = await post('/registries', { name: 'gone' });
  const deleted = await app.inject({ method: 'DELETE', url: `/lading/v1/registries/${gone.id}`, headers });
  return { DIGEST: digest, TOKEN_ID: token.id, KEY_ID: key.id, OPERATION_ID: deleted.json().id, TOKEN: 'of-a-cluster' };
}

/** What must be among the answers to the examples of a page. */
const answers: Readonly<Record<string, readonly RegExp[]>> = {
  'README.md': [/"slug":"hub"/, /"failedStep"/],
  'docs/api.md': [
    /"status":"deleting"|"kind":"delete_registry"/,
    /"secret":"ldg_token_/,
    /"permissions":\["\*","teams:write"\]/,
    /"sizeLimitBytes":9000000000/,
  ],
  'docs/pull-secrets.md': [/"auths":\{/, /"secret":"ldg_key_/],
  'docs/clusters.md': [/"pool":"ru-9"/, /"status":"pending"/],
  'docs/dialects/selectel.md': [/"registries":\[\{.*"totalCount":\d/, /"name":"my-registry".*"status":"ACTIVE"/],
  'docs/dialects/northflank.md': [/"id":"github-of-bob","name":"GitHub of Bob"/],
  'docs/dialects/paperspace.md': [/"kind":"ghcr","name":"acme-on-github","namespace":"acme"/],
  'docs/dialects/nodion.md': [/"registry_type":"docker_hub","name":"My Docker Hub","hostname":"docker.io"/],
};

test('the examples of all pages work when pasted one after the other on one installation', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'default');
  const app = await buildApp(platform);
  t.after(() => app.close());
  const env = await prepare(app, team.secret);
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const directory = makeTestDirectory(t);
  for (const page of pages) {
    const text = await paste(examplesOf(page, url, team.secret), directory, env);
    for (const expected of answers[page] ?? []) assert.match(text, expected, page);
  }
  const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'));
  assert.deepEqual(config.auths['https://index.docker.io/v1/'].username, 'acme');
  assert.equal(statSync(join(directory, 'config.json')).mode & 0o077, 0);
});

// A function of the program's name would send the owner's key wherever a command of it is meant.
test('no page defines a shell function that is called like the program', () => {
  for (const page of [...pages, 'docs/configuration.md']) assert.doesNotMatch(read(page), /^lading\(\)/m, page);
});

test('the table of permissions leaves none out', () => {
  const document = read('docs/api.md');
  for (const permission of [...permissions, 'teams:write']) {
    const [thing] = permission.split(':');
    assert.ok(document.includes(`\`${permission}\``) || document.includes(`\`${thing}:…\``), permission);
  }
});
