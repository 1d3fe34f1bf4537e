import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makeTar } from '../clients/image.ts';
import { openWorkbench, type Workbench } from '../clients/workbench.ts';
import { findFreePort, pause } from '../servers/child.ts';
import { type Dockerd, startDockerd } from '../servers/dockerd.ts';
import { build, docker, makeBaseImages } from './base-images.ts';
import { root } from './programs.ts';

// `npm run test:image`: builds the Dockerfile with a Docker daemon of its own, and runs what comes out as strictly as
// anybody would. Needs root, what `.ci/install` brings, Debian's archive and the npm registry.

let dockerd: Dockerd;
let bench: Workbench;

before(async () => {
  dockerd = await startDockerd({ storageDriver: 'overlay2' });
  bench = await openWorkbench({ DOCKER_HOST: dockerd.host });
  await makeBaseImages(bench);
  await build(bench.env, '--tag=lading', root);
});

after(async () => {
  await bench?.remove();
  await dockerd?.stop();
});

type Container = { name: string; url: string; host: string; key: () => Promise<string> };

async function start(name: string): Promise<Container> {
  const host = `127.0.0.1:${await findFreePort()}`;
  const strict = ['--read-only', '--tmpfs=/tmp', '--cap-drop=ALL', '--security-opt=no-new-privileges'];
  const settings = ['--network=host', `--env=LADING_LISTEN=${host}`, `--volume=${name}:/data`];
  await bench.run(docker, ['run', '--detach', '--name', name, ...strict, ...settings, 'lading']);
  const key = () => bench.run(docker, ['exec', name, 'cat', '/data/bootstrap-key']);
  return { name, host, url: `http://${host}`, key };
}

const inspect = (name: string, format: string) => bench.run(docker, ['inspect', '--format', format, name]);

async function becomes(name: string, format: string, wanted: string): Promise<void> {
  const deadline = Date.now() + 90_000;
  while ((await inspect(name, format)) !== wanted) {
    if (Date.now() > deadline) assert.fail(`${await bench.run(docker, ['logs', name])}`);
    await pause(200);
  }
}

const health = '{{.State.Health.Status}}';

test('the image is of a number and not of root, and holds what the program needs and no more', async () => {
  assert.equal(await inspect('lading', '{{.Config.User}}'), '10001:10001');
  assert.equal(await inspect('lading', '{{index .Config.Labels "org.opencontainers.image.licenses"}}'), 'Apache-2.0');
  const [ours, all] = ['/lading/server /lading/contract -name "*.test.ts"', '/lading -name .git -o -name .env'];
  const find = `find ${ours}; find ${all} -o -path "*/node_modules/typescript" -o -name "@biomejs"`;
  assert.equal(await bench.run(docker, ['run', '--rm', '--entrypoint=sh', 'lading', '-c', find]), '');
  const sizeBytes = Number(await inspect('lading', '{{.Size}}'));
  assert.ok(sizeBytes < 400 * 1024 ** 2, `${sizeBytes}`);
});

test('it serves on a read-only file system without capabilities, turns healthy, and keeps what it was given', async () => {
  const first = await start('keeps');
  await becomes(first.name, health, 'healthy');
  const key = await first.key();
  await bench.run('crane', ['auth', 'login', first.host, '-u', 'owner', '--password-stdin'], { input: key });
  const layer = join(bench.dir, 'layer.tar');
  await writeFile(layer, makeTar({ payload: randomBytes(5_000_000) }));
  await bench.run('crane', ['append', '-f', layer, '-t', `${first.host}/default/app:v1`]);
  await bench.run('crane', ['validate', '--remote', `${first.host}/default/app:v1`]);
  await bench.run(docker, ['rm', '--force', first.name]);

  const second = await start('keeps');
  await becomes(second.name, health, 'healthy');
  await bench.run('crane', ['auth', 'login', second.host, '-u', 'owner', '--password-stdin'], { input: key });
  await bench.run('crane', ['validate', '--remote', `${second.host}/default/app:v1`]);
  const verified = await bench.run(docker, ['exec', second.name, '/lading/bin/lading', 'verify', '--deep']);
  assert.match(verified, /All is well/);
});

test('docker stop lets an upload in flight end, and the program ends with 0 by itself', async () => {
  const { name, url, key } = await start('stops');
  await becomes(name, health, 'healthy');
  const bytes = randomBytes(1_000_000);
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const { promise: answered, resolve, reject } = Promise.withResolvers<number | undefined>();
  const headers = { authorization: `Bearer ${await key()}`, 'content-length': bytes.length };
  const path = `${url}/v2/default/app/blobs/uploads/?digest=${digest}`;
  const upload = request(path, { method: 'POST', headers }, (response) => {
    response.resume();
    resolve(response.statusCode);
  });
  upload.once('error', reject);
  await new Promise((written) => upload.write(bytes.subarray(0, 500_000), written));
  const logs = () => bench.run('sh', ['-c', `${docker} logs ${name} 2>&1`]);
  const writing = ['exec', name, 'sh', '-c', 'find /data/objects -name "*.part" | grep -c .'];
  while ((await bench.run(docker, writing).catch(() => '0')) === '0') await pause(100);
  const stopped = bench.run(docker, ['stop', '--time=60', name]);
  while (!(await logs()).includes('stopping')) await pause(100);
  upload.end(bytes.subarray(500_000));
  assert.equal(await answered, 201);
  await stopped;
  assert.equal(await inspect(name, '{{.State.ExitCode}}'), '0', await logs());
});

test('a setting that is none is named by what the container prints', async () => {
  const said = await bench.refused(docker, ['run', '--rm', '--env=LADING_PORT=tcp://10.0.0.1:80', 'lading']);
  assert.match(said, /LADING_PORT is not a setting/);
});
