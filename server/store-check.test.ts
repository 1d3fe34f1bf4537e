import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '#core/digest.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { s3Server, testOnS3 } from '#test/s3-world.ts';
import { type Child, pause, startChild, watch } from '#test/servers/child.ts';
import { startFaultProxy } from '#test/servers/fault-proxy.ts';
import { LADING, type Lading, startLading } from '#test/servers/lading.ts';

async function push({ url, key }: Lading): Promise<string> {
  const headers = { authorization: `Bearer ${key}` };
  const body = randomBytes(1000);
  const session = await fetch(`${url}/v2/default/app/blobs/uploads/`, { method: 'POST', headers });
  const to = new URL(session.headers.get('location') ?? '', url);
  to.searchParams.set('digest', digestOf(body));
  assert.equal((await fetch(to, { method: 'PUT', headers, body })).status, 201);
  return `/v2/default/app/blobs/${digestOf(body)}`;
}

/** Waits until it listens, ready or not. */
async function startUnready(t: Scope, lading: Lading, env: NodeJS.ProcessEnv): Promise<Child> {
  const isReady = async () => (await fetch(`${lading.url}/healthz`)).ok;
  const child = await startChild(LADING, ['serve'], { env: { ...lading.env, ...env }, isReady });
  t.after(() => child.stop('SIGKILL'));
  return child;
}

async function said(child: Child, what: RegExp): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!what.test(child.output())) {
    assert.ok(performance.now() < deadline, `${what} is not in:\n${child.output()}`);
    await pause(20);
  }
}

test('a server does not start where none of its objects is, and starts where they are', async (t) => {
  const dataDir = makeTestDirectory(t);
  const onDisk = { dataDir, env: { LADING_STORAGE_URL: '' } };
  const lading = await startLading(onDisk);
  await push(lading);
  assert.equal(await lading.stop(), 0);
  await rename(join(dataDir, 'objects'), join(dataDir, 'elsewhere'));
  const refusal =
    /ended at its start:\nlading: The database knows 1 object,.*is in \S+\/objects\. Check LADING_STORAGE_URL/;
  await assert.rejects(startLading(onDisk), refusal);
  await rename(join(dataDir, 'objects'), join(dataDir, 'empty'));
  await rename(join(dataDir, 'elsewhere'), join(dataDir, 'objects'));
  const again = await startLading(onDisk);
  assert.equal(await again.stop(), 0);
});

/** Its exit code and what it printed. */
async function copyTo(lading: Lading, place: string): Promise<string> {
  const args = ['copy-store', '--to-database', place, '--to-storage', place];
  const child = watch(spawn(LADING, args, { env: lading.env, stdio: ['ignore', 'pipe', 'pipe'] }), 'copy-store');
  return `${await child.exited} ${child.output()}`;
}

// Else one start with the wrong settings would end the move: the copy could never be brought up to date.
test('a copy that was started without its objects is still a copy', async (t) => {
  const [dataDir, copy] = [makeTestDirectory(t), makeTestDirectory(t)];
  const lading = await startLading({ dataDir, env: { LADING_STORAGE_URL: '', LADING_DATABASE_URL: '' } });
  await push(lading);
  assert.equal(await lading.stop(), 0);
  assert.match(await copyTo(lading, copy), /^0 Complete/);
  await rename(join(copy, 'objects'), join(copy, 'elsewhere'));
  const started = startUnready(t, lading, { LADING_DATA_DIR: copy });
  await assert.rejects(started, /The database knows 1 object, and none of those looked for/);
  await rm(join(copy, 'objects'), { recursive: true });
  await rename(join(copy, 'elsewhere'), join(copy, 'objects'));
  assert.match(await copyTo(lading, copy), /^0 Complete/);
});

testOnS3(() => {
  const urlOf = (bucket: string, endpoint = s3Server().endpoint, prefix = 'images') =>
    `s3://${bucket}/${prefix}?endpoint=${endpoint}&path-style=true`;

  async function startOnBucket(t: Scope, bucket: string): Promise<Lading> {
    const { accessKeyId, secretAccessKey } = s3Server().credentials;
    const credentials = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
    const env = { LADING_STORAGE_URL: urlOf(bucket), ...credentials };
    const lading = await startLading({ dataDir: makeTestDirectory(t), env });
    t.after(() => lading.child.stop('SIGKILL'));
    return lading;
  }

  test('without its bucket, in another one and below another prefix, a server does not start', async (t) => {
    const [bucket, other] = [await s3Server().makeBucket(), await s3Server().makeBucket()];
    const lading = await startOnBucket(t, bucket);
    await push(lading);
    assert.equal(await lading.stop(), 0);
    for (const url of ['', urlOf(other), urlOf(bucket, s3Server().endpoint, 'image')]) {
      const started = startUnready(t, lading, { LADING_STORAGE_URL: url });
      await assert.rejects(started, /lading: The database knows 1 object, and none of those looked for/);
    }
  });

  test('a bucket that is away or refuses keeps no server from starting, and the log says what is wrong', async (t) => {
    const bucket = await s3Server().makeBucket();
    const lading = await startOnBucket(t, bucket);
    const path = await push(lading);
    assert.equal(await lading.stop(), 0);
    const faults = [
      [
        { LADING_STORAGE_URL: urlOf(bucket, 'http://127.0.0.1:9') },
        /not ready: The bucket \S+ at http:\/\/127.0.0.1:9 .*ECONNREFUSED/,
      ],
      [
        { LADING_STORAGE_URL: urlOf('nobody-made-it') },
        /not ready: The bucket nobody-made-it at .*NoSuchBucket.*Make the bucket/,
      ],
      [{ AWS_ACCESS_KEY_ID: 'nobody' }, /not ready: The bucket .*check AWS_ACCESS_KEY_ID/],
      [{ AWS_SECRET_ACCESS_KEY: 'wrong' }, /not ready: The bucket .*AWS_SECRET_ACCESS_KEY does not belong/],
    ] as const;
    for (const [env, sentence] of faults) {
      const child = await startUnready(t, lading, env);
      await said(child, sentence);
      const probe = await fetch(`${lading.url}/readyz`);
      assert.equal(probe.status, 503);
      assert.ok(!(await probe.text()).includes('bucket'));
      assert.equal(child.output().split('not ready').length, 2, child.output());
      const headers = { authorization: `Bearer ${lading.key}` };
      const pulled = await fetch(lading.url + path, { headers });
      assert.equal(pulled.status, 503);
      assert.doesNotMatch(await pulled.text(), /127\.0\.0\.1|LADING_|AWS_/);
      await said(child, /"fault":"The bucket /);
      await child.stop();
    }
  });

  test('a bucket that was away at the start is compared when it is back, and a wrong one stays red', async (t) => {
    const bucket = await s3Server().makeBucket();
    const lading = await startOnBucket(t, bucket);
    await push(lading);
    assert.equal(await lading.stop(), 0);
    const proxy = await startFaultProxy(t, s3Server().endpoint);
    for (const [prefix, status] of [
      ['images', 200],
      ['other', 503],
    ] as const) {
      proxy.fault = () => ({ answer: 500 });
      const child = await startUnready(t, lading, {
        LADING_STORAGE_URL: urlOf(bucket, proxy.url, prefix),
        LADING_LOG_LEVEL: 'info',
      });
      await said(child, /not ready: The bucket/);
      proxy.fault = () => undefined;
      // What was asked in the last second is not asked again.
      const deadline = performance.now() + 20_000;
      const isDone = () => (status === 200 ? /ready again/ : /not ready: The database knows/).test(child.output());
      while (!isDone() && performance.now() < deadline) {
        await fetch(`${lading.url}/readyz`);
        await pause(100);
      }
      assert.equal((await fetch(`${lading.url}/readyz`)).status, status, child.output());
      await child.stop();
    }
  });
});
