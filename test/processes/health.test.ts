import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeTestDirectory } from '#test/database.ts';
import { makeAuthority } from '#test/servers/certificates.ts';
import { findFreePort, watch } from '#test/servers/child.ts';
import { cleanEnvironment, LADING, startLading } from '#test/servers/lading.ts';

// What the health check of a container asks: only its exit code counts.

async function health(settings: Record<string, string>) {
  const env = { ...cleanEnvironment(), ...settings };
  const child = watch(spawn(LADING, ['health'], { env, stdio: ['ignore', 'pipe', 'pipe'] }), LADING);
  return { code: await child.exited, output: child.output().trim() };
}

test('a server that serves is ready, one whose store is gone is not, one that has ended does not answer', async (t) => {
  const dataDir = makeTestDirectory(t);
  // On the disk, whatever the other tests of this run use: it can be taken away.
  const lading = await startLading({ dataDir, env: { LADING_STORAGE_URL: '' } });
  t.after(() => lading.kill9());
  const settings = { LADING_LISTEN: lading.host };
  const ready = await health(settings);
  assert.deepEqual([ready.code, JSON.parse(ready.output).status], [0, 'ok']);

  rmSync(join(dataDir, 'objects'), { recursive: true });
  writeFileSync(join(dataDir, 'objects'), 'a file where the directory was');
  // The server keeps an answer for a second.
  let failed = await health(settings);
  while (failed.code === 0) failed = await health(settings);
  assert.deepEqual([failed.code, JSON.parse(failed.output).checks.store], [1, 'failed']);

  await lading.stop();
  const gone = await health(settings);
  assert.equal(gone.code, 1);
  assert.match(gone.output, new RegExp(`^http://${lading.host}/readyz does not answer: .*ECONNREFUSED`));
});

test('a server with a certificate for another name is asked by HTTPS', async (t) => {
  const dataDir = makeTestDirectory(t);
  const { certificatePem, keyPem } = makeAuthority(t).issue('registry', { altName: 'DNS:registry.example.com' });
  const [LADING_TLS_CERT, LADING_TLS_KEY] = [join(dataDir, 'cert.pem'), join(dataDir, 'key.pem')];
  writeFileSync(LADING_TLS_CERT, certificatePem);
  writeFileSync(LADING_TLS_KEY, keyPem);
  const settings = { LADING_TLS_CERT, LADING_TLS_KEY, LADING_LISTEN: `:${await findFreePort()}` };
  const serve = watch(
    spawn(LADING, ['serve'], {
      env: { ...cleanEnvironment(), ...settings, LADING_DATA_DIR: dataDir },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
    LADING,
  );
  t.after(() => serve.stop('SIGKILL'));
  let answer = await health(settings);
  while (answer.code !== 0 && serve.isRunning()) answer = await health(settings);
  assert.match(answer.output, /"status":"ok"/, serve.output());
});

test('a server that takes the connection and says nothing is not ready', async (t) => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => {
    silent.closeAllConnections();
    silent.close();
  });
  const { port } = silent.address() as AddressInfo;
  const { code, output } = await health({ LADING_LISTEN: `127.0.0.1:${port}` });
  assert.equal(code, 1);
  assert.match(output, /does not answer/);
});

test('a misspelt setting is named, as by the server itself', async () => {
  const { code, output } = await health({ LADING_LISTEM: ':1' });
  assert.equal(code, 2);
  assert.match(output, /LADING_LISTEM is not a setting/);
});
