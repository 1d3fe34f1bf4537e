// What the documents say of signing in without TLS, with the clients themselves: they share files, and see each other's logins.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Dockerd, startDockerd } from '../servers/dockerd.ts';
import { writeContainersHome } from './containers-home.ts';
import { useLading } from './suite.ts';
import type { RunOptions } from './workbench.ts';

let dockerd: Dockerd;
const suite = useLading(async () => {
  dockerd = await startDockerd();
});
after(() => dockerd?.stop());

const host = '127.0.0.1:8080';

/** A directory with the key where the documents have it, and an image that podman has. */
async function openShell(name: string): Promise<RunOptions & { cwd: string }> {
  const { bench, lading } = suite;
  const directory = join(bench.dir, name);
  const home = await writeContainersHome(directory);
  await Promise.all(['data', 'root', 'run'].map((part) => mkdir(join(directory, part), { mode: 0o700 })));
  await writeFile(join(directory, 'data/bootstrap-key'), `${lading.key}\n`, { mode: 0o600 });
  await writeFile(join(directory, 'root/payload'), randomBytes(10_000));
  const own = { XDG_RUNTIME_DIR: join(directory, 'run'), DOCKER_CONFIG: join(directory, '.docker') };
  // An empty name of a file is none: podman then looks where it does by itself.
  const env = { ...home, ...own, DOCKER_HOST: dockerd.host, REGISTRY_AUTH_FILE: '' };
  const options = { cwd: directory, env };
  await bench.run('bash', ['-c', 'tar -c -C root . | podman import -q - alpine:latest'], options);
  return options;
}

async function blocksOf(page: string, pattern: RegExp): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../..', page), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)]
    .map((one) => one[1] ?? '')
    .filter((one) => pattern.test(one));
  assert.equal(blocks.length, 1, page);
  return (blocks[0] ?? '').replaceAll(host, suite.lading.host);
}

const paste = (script: string, options: RunOptions) =>
  suite.bench.run('bash', ['-euo', 'pipefail', '-c', script], options);

test('podman, skopeo and buildah do without TLS what docs/configuration.md shows, pasted', async () => {
  const shell = await openShell('pasted');
  const text = await paste(await blocksOf('docs/configuration.md', /^skopeo inspect/m), shell);
  assert.match(text, /Login Succeeded!/);
  assert.match(text, new RegExp(`"Name": "${suite.lading.host}/default/alpine"`));
});

test('beside the login of docker podman works with that one, and signs in itself once docker has signed out', async () => {
  const { bench, lading } = suite;
  const shell = await openShell('beside-docker');
  const login = await blocksOf('README.md', /^podman login/m);
  await paste(`docker login ${lading.host} --username owner --password-stdin < data/bootstrap-key`, shell);
  const refused = await bench.refused('bash', ['-c', login], shell);
  assert.match(refused, /currently logged in, auth file contains an Identity token/);
  await paste(`podman push --tls-verify=false alpine:latest ${lading.host}/default/beside:latest`, shell);
  await paste(`docker logout ${lading.host}`, shell);
  assert.match(await paste(login, shell), /Login Succeeded!/);
});
