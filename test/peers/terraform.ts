// The provider `selectel/selectel` under Terraform or OpenTofu, run by hand: the Go proxy does not serve the provider, so
// `.ci/install` cannot bring it.
//   LADING_TEST_TERRAFORM          the program, `terraform` or `tofu`
//   LADING_TEST_SELECTEL_PROVIDER  the provider's program

import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ask, useLading } from '../clients/suite.ts';
import { type Keystone, startKeystone } from '../servers/keystone.ts';

const program = requireProgram('LADING_TEST_TERRAFORM');
const provider = requireProgram('LADING_TEST_SELECTEL_PROVIDER');

function requireProgram(name: string): string {
  const found = process.env[name];
  if (found === undefined) throw new Error(`Set ${name}; the top of this file says to what.`);
  return found;
}

let keystone: Keystone | undefined;
let dir = '';

const suite = useLading(async ({ lading, bench }) => {
  keystone = await startKeystone({ key: lading.key, api: `${lading.url}/api` });
  dir = join(bench.dir, 'plan');
  await mkdir(dir);
  await symlink(provider, join(dir, 'terraform-provider-selectel'));
  await writeFile(
    join(dir, 'cli.tfrc'),
    `provider_installation {\n  dev_overrides { "selectel/selectel" = "${dir}" }\n  direct {}\n}\n`,
  );
});
after(() => keystone?.stop());

// biome-ignore lint/suspicious/noExplicitAny: what the program and the API say, of any kind.
type Json = any;

const terraform = (...args: string[]) =>
  suite.bench.run(program, args, {
    cwd: dir,
    env: { TF_CLI_CONFIG_FILE: join(dir, 'cli.tfrc'), TF_IN_AUTOMATION: '1' },
  });

async function plan({ mode, name = 'ci' }: { mode: 'ro' | 'rw'; name?: string }): Promise<void> {
  await writeFile(
    join(dir, 'main.tf'),
    `terraform {
  required_providers {
    selectel = { source = "selectel/selectel" }
  }
}
provider "selectel" {
  auth_url    = "${keystone?.url}"
  auth_region = "ru-1"
  domain_name = "123456"
  username    = "user"
  password    = "password"
}
resource "selectel_craas_registry_v1" "one" {
  name       = "by-terraform"
  project_id = "project"
}
resource "selectel_craas_token_v1" "one" {
  project_id = "project"
}
resource "selectel_craas_token_v2" "one" {
  project_id     = "project"
  name           = "${name}"
  mode_rw        = ${mode === 'rw'}
  all_registries = false
  registry_ids   = [selectel_craas_registry_v1.one.id]
  is_set         = true
  expires_at     = "2099-01-01T00:00:00Z"
}
`,
  );
}

/** What the program believes it made. */
async function stateOf(type: string): Promise<Json> {
  const { values } = JSON.parse(await terraform('show', '-json'));
  return values?.root_module.resources.find((one: Json) => one.type === type)?.values;
}

const call = async (method: string, path: string) => {
  const answer = await ask(suite.lading, method, `/api${path}`);
  const text = await answer.text();
  return { status: answer.status, json: text === '' ? undefined : (JSON.parse(text) as Json) };
};
const apply = () => terraform('apply', '-auto-approve', '-no-color', '-input=false');
/** Fails with the plan, unless the program finds the world as it left it. */
const expectNoChange = () => terraform('plan', '-detailed-exitcode', '-no-color', '-input=false');

test('a registry and a token of each version are made, found unchanged, changed and destroyed', async () => {
  await plan({ mode: 'ro' });
  console.log(await apply());
  const registry = await stateOf('selectel_craas_registry_v1');
  assert.deepEqual([registry.status, registry.endpoint], ['ACTIVE', `${suite.lading.url}/by-terraform`]);
  assert.equal((await call('GET', `/v1/registries/${registry.id}`)).json.name, 'by-terraform');
  const [first, second] = [await stateOf('selectel_craas_token_v1'), await stateOf('selectel_craas_token_v2')];
  assert.deepEqual([first.username, second.username], ['token', 'token']);
  assert.ok((await call('GET', `/v1/token/${first.token}`)).json.expireIn > 364 * 24 * 3600);
  const made = (await call('GET', `/v2/tokens/${second.id}`)).json;
  assert.deepEqual(made.scope, { allRegistries: false, modeRW: false, registryIds: [registry.id] });
  assert.deepEqual(made.expiration, { isSet: true, expiresAt: '2099-01-01T00:00:00Z' });
  await expectNoChange();

  await plan({ mode: 'rw', name: 'deploy' });
  console.log(await apply());
  const changed = (await call('GET', `/v2/tokens/${second.id}`)).json;
  assert.deepEqual([changed.name, changed.scope.modeRW, changed.status], ['deploy', true, 'active']);
  await expectNoChange();

  const login = ['auth', 'login', suite.lading.host, '-u', second.username, '--password-stdin'];
  await suite.bench.run('crane', login, { input: second.token });
  await suite.bench.run('crane', [
    'append',
    '--oci-empty-base',
    '-f',
    '/dev/null',
    '-t',
    `${suite.lading.host}/by-terraform/app:v1`,
  ]);

  // A token revoked behind its back is made anew.
  await call('POST', `/v2/tokens/${second.id}/revoke`);
  console.log(await apply());
  const anew = await stateOf('selectel_craas_token_v2');
  assert.notEqual(anew.id, second.id);

  console.log(await terraform('destroy', '-auto-approve', '-no-color', '-input=false'));
  assert.equal((await call('GET', `/v1/registries/${registry.id}`)).status, 404);
  assert.equal((await call('GET', `/v1/token/${first.token}`)).status, 404);
  assert.equal((await call('GET', `/v2/tokens/${anew.id}`)).status, 404);
});

test('what the server refuses is said in the server’s words', async () => {
  await plan({ mode: 'ro' });
  const taken = await ask(suite.lading, 'POST', '/api/v1/registries', { name: 'by-terraform' });
  assert.equal(taken.status, 201);
  const env = { TF_CLI_CONFIG_FILE: join(dir, 'cli.tfrc') };
  const args = ['apply', '-auto-approve', '-no-color', '-input=false'];
  const text = await suite.bench.refused(program, args, { cwd: dir, env });
  console.log(text);
  assert.match(text, /409/);
});
