import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeTestDirectory } from '../database.ts';
import { startDockerd } from '../servers/dockerd.ts';
import { startLading } from '../servers/lading.ts';

test('the three lines that a first start prints work as they stand, pasted into a shell', async (t) => {
  const directory = makeTestDirectory(t);
  // A blank and a quote in the path: the lines must survive what people call their folders.
  const dataDir = join(directory, "lading's data");
  const lading = await startLading({ dataDir, env: { LADING_BOOTSTRAP_KEY: '', LADING_LOG_LEVEL: 'info' } });
  t.after(() => lading.kill9());
  const dockerd = await startDockerd();
  t.after(() => dockerd.stop());
  const env = { ...process.env, DOCKER_HOST: dockerd.host, DOCKER_CONFIG: join(directory, 'docker') };
  const shell = (line: string) => {
    const { status, stdout, stderr } = spawnSync('sh', ['-c', line], { env, encoding: 'utf8' });
    assert.equal(status, 0, `${line}\n${stdout}${stderr}`);
    return stdout;
  };

  mkdirSync(join(directory, 'root'));
  writeFileSync(join(directory, 'root/payload'), randomBytes(100_000));
  shell(`tar -c -C ${directory}/root . | docker import - alpine:latest`);

  const printed = lading.child.output().match(/^ {2}\S.*docker .*$|^ {2}docker .*$/gm) ?? [];
  assert.equal(printed.length, 3, lading.child.output());
  for (const line of printed) shell(line);

  const image = `${lading.host}/default/alpine:latest`;
  const id = shell(`docker image inspect --format '{{.Id}}' ${image}`);
  shell(`docker rmi alpine:latest ${image} && docker pull -q ${image}`);
  assert.equal(shell(`docker image inspect --format '{{.Id}}' ${image}`), id);
});
