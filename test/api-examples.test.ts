import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { permissions } from '#core/permissions.ts';
import { buildApp } from '#server/app.ts';
import { askerOf, basic, pushImage, withAuthorization } from './oci-client.ts';
import { openTestPlatform, seedTeam } from './platform.ts';

const read = (page: string) => readFileSync(join(import.meta.dirname, '../docs', page), 'utf8');
const document = read('api.md');

/** Each `sh` block, in order, with the server and the key of the test. */
function examples(document: string, url: string, key: string): string {
  const blocks = [...document.matchAll(/^```sh\n(.*?)^```/gms)].map((one) => one[1] ?? '');
  const script = blocks.join('').replaceAll('http://127.0.0.1:8080', url).replace('$(cat data/bootstrap-key)', key);
  assert.ok(script.includes(`KEY=${key}`));
  return script;
}

/** What the script writes, if every line of it succeeds. */
async function paste(script: string, env: Record<string, string> = {}): Promise<string> {
  const shell = spawn('bash', ['-euxo', 'pipefail', '-c', script], { env: { PATH: process.env.PATH, ...env } });
  const output: Buffer[] = [];
  for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (chunk) => output.push(chunk));
  const code = await new Promise((resolve) => shell.once('close', resolve));
  const text = Buffer.concat(output).toString();
  assert.equal(code, 0, text.slice(-2000));
  return text;
}

test('every example of docs/api.md works when pasted one after the other', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'default');
  const app = await buildApp(platform);
  t.after(() => app.close());
  const oci = withAuthorization(askerOf(app), basic(team.secret));
  const digest = await pushImage(oci, 'default/backend/api', 'v1');
  await pushImage(oci, 'default/backend/api', 'old');
  await pushImage(oci, 'default/backend/api', 'other', ['another layer']);
  const post = async (path: string, payload: object): Promise<{ id: string }> => {
    const headers = { authorization: `Bearer ${team.secret}` };
    return (await app.inject({ method: 'POST', url: `/lading/v1${path}`, headers, payload })).json();
  };
  const token = await post('/tokens', { scope: 'rw', registryIds: null, expiresAt: '2099-01-01T00:00:00Z' });
  const key = await post('/api-keys', { name: 'k', permissions: ['audit:read'] });
  const gone = await post('/registries', { name: 'gone' });
  const deleted = await app.inject({
    method: 'DELETE',
    url: `/lading/v1/registries/${gone.id}`,
    headers: { authorization: `Bearer ${team.secret}` },
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const script = examples(document, url, team.secret);
  assert.ok(script.split('\n').length > 30);
  const ids = { DIGEST: digest, TOKEN_ID: token.id, KEY_ID: key.id, OPERATION_ID: deleted.json().id };
  const text = await paste(script, ids);
  assert.match(text, /"status":"deleting"|"kind":"delete_registry"/);
  assert.match(text, /"secret":"ldg_token_/);
  assert.match(text, /"sizeLimitBytes":9000000000/);
});

test('the examples with curl of docs/dialects/selectel.md work', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'default');
  const app = await buildApp(platform);
  t.after(() => app.close());
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const text = await paste(examples(read('dialects/selectel.md'), url, team.secret));
  assert.match(text, /"registries":\[\{[^\]]*"name":"default".*"totalCount":1\}/);
  assert.match(text, /"name":"my-registry".*"status":"ACTIVE"/);
});

test('the examples with curl of docs/dialects/paperspace.md and nodion.md work', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'default');
  const app = await buildApp(platform);
  t.after(() => app.close());
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const ofPaperspace = await paste(examples(read('dialects/paperspace.md'), url, team.secret));
  assert.match(ofPaperspace, /"kind":"ghcr","name":"github","namespace":"acme"/);
  const ofNodion = await paste(examples(read('dialects/nodion.md'), url, team.secret));
  assert.match(ofNodion, /"registry_type":"docker_hub","name":"My Docker Hub","hostname":"docker.io"/);
});

test('the table of permissions leaves none out', () => {
  for (const permission of [...permissions, 'teams:write']) {
    const [thing] = permission.split(':');
    assert.ok(document.includes(`\`${permission}\``) || document.includes(`\`${thing}:…\``), permission);
  }
});
