// What the vendor documents for its managed registries: credentials from the API, `docker login` with the dollar sign in
// their user name, and a push below the project's id.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImage, writeLayout } from './image.ts';
import { ask, digestOf, useLading } from './suite.ts';

const suite = useLading();
const PLAIN = '--tls-verify=false';

type Registry = { id: string; hostname: string; has_credentials: boolean };
type Credentials = { hostname: string; username: string; password: string };

async function makeProject(name: string): Promise<string> {
  const answer = await ask(suite.lading, 'POST', '/lading/v1/projects', { name });
  return ((await answer.json()) as { id: string }).id;
}

/** As Nodion's API has it, in the project of the header. */
async function nodion<Answer>(project: string, method: string, path = ''): Promise<Answer> {
  const answer = await fetch(`${suite.lading.url}/nodion/v1/container_registries${path}`, {
    method,
    headers: { authorization: `Bearer ${suite.lading.key}`, 'x-nodion-project': project },
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return (await answer.json()) as Answer;
}

const skopeo = (...args: string[]) => suite.bench.run('skopeo', args);
const refused = (...args: string[]) => suite.bench.refused('skopeo', args);

test('podman and skopeo sign in with the credentials of a managed registry, and push and pull in its project alone', async () => {
  const { bench, lading } = suite;
  const [shop, other] = [await makeProject('shop'), await makeProject('other')];
  const { container_registries } = await nodion<{ container_registries: Registry[] }>(shop, 'GET');
  const [registry] = container_registries;
  assert.deepEqual([registry?.hostname, registry?.has_credentials], [lading.host, false]);
  const path = `/${registry?.id}/credentials`;
  const { container_registry: login } = await nodion<{ container_registry: Credentials }>(shop, 'POST', path);

  const signIn = (client: string) =>
    bench.run(client, ['login', PLAIN, '-u', login.username, '--password-stdin', login.hostname], {
      input: login.password,
    });
  assert.match(await signIn('podman'), /Login Succeeded/);
  assert.match(await signIn('skopeo'), /Login Succeeded/);
  assert.match(login.username, /^robot\$project-[0-9a-f]{8}$/);
  const stored = await bench.run('podman', ['login', '--get-login', login.hostname]);
  assert.equal(stored, login.username);

  const image = makeImage();
  const layout = join(bench.dir, 'layout');
  await writeLayout(layout, 'v1', [image]);
  const target = (name: string) => `docker://${lading.host}/${name}`;
  await skopeo('copy', '--dest-tls-verify=false', `oci:${layout}:v1`, target(`${shop}/my-image:latest`));
  assert.equal(await digestOf(lading, 'shop/my-image', 'latest'), image.manifest.digest);
  await skopeo('copy', '--src-tls-verify=false', target(`${shop}/my-image:latest`), `dir:${join(bench.dir, 'back')}`);
  for (const name of [`${other}/my-image:latest`, 'other/my-image:latest', 'default/my-image:latest']) {
    const text = await refused('copy', '--dest-tls-verify=false', `oci:${layout}:v1`, target(name));
    assert.match(text, /denied|unauthorized|authentication required/i, name);
  }
  assert.match(
    await refused('delete', PLAIN, target(`${shop}/my-image:latest`)),
    /denied|unauthorized|authentication/i,
  );

  await nodion(shop, 'DELETE', path);
  assert.match(
    await refused('inspect', PLAIN, target(`${shop}/my-image:latest`)),
    /unauthorized|authentication|invalid/i,
  );
});
