import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { MiB, s3Server, testOnS3 } from '#test/s3-world.ts';
import { pause } from '#test/servers/child.ts';
import { LADING, type Lading, startLading } from '#test/servers/lading.ts';

async function startOnBucket(t: Scope, dataDir: string, bucket: string, env: Record<string, string> = {}) {
  const { accessKeyId, secretAccessKey } = s3Server().credentials;
  const lading = await startLading({
    dataDir,
    key: `ldg_test_${'k'.repeat(40)}`,
    env: {
      LADING_STORAGE_URL: `s3://${bucket}/images?endpoint=${s3Server().endpoint}&path-style=true`,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      ...env,
    },
  });
  t.after(() => lading.child.stop('SIGKILL'));
  return lading;
}

async function startUpload({ url, key }: Lading): Promise<string> {
  const headers = { authorization: `Bearer ${key}` };
  const session = await fetch(`${url}/v2/default/app/blobs/uploads/`, { method: 'POST', headers });
  return new URL(session.headers.get('location') ?? '', url).href;
}

/** In as many requests as there are chunks. Answers the path of the blob. */
async function push(lading: Lading, chunks: readonly Buffer[]): Promise<string> {
  const headers = { authorization: `Bearer ${lading.key}` };
  const upload = await startUpload(lading);
  for (const body of chunks) assert.equal((await fetch(upload, { method: 'PATCH', headers, body })).status, 202);
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  const digest = `sha256:${hash.digest('hex')}`;
  const finished = await fetch(`${upload}?digest=${digest}`, { method: 'PUT', headers });
  assert.equal(finished.status, 201, await finished.text());
  return `/v2/default/app/blobs/${digest}`;
}

async function verify({ env }: Lading): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(LADING, ['verify', '--deep'], { env }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    );
  });
}

async function countIn(bucket: string): Promise<{ objects: number; uploads: number }> {
  const objects = await s3Server().client.send(new ListObjectsV2Command({ Bucket: bucket }));
  const uploads = await s3Server().client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return { objects: objects.Contents?.length ?? 0, uploads: uploads.Uploads?.length ?? 0 };
}

async function seen(what: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await what())) {
    assert.ok(performance.now() < deadline, 'not seen in time');
    await pause(20);
  }
}

testOnS3(() => {
  test('on S3 a blob comes in chunks, is joined, read whole and in part, and verified', async (t) => {
    const [dataDir, bucket] = [makeTestDirectory(t), await s3Server().makeBucket()];
    const lading = await startOnBucket(t, dataDir, bucket);
    const chunks = [randomBytes(6 * MiB), randomBytes(100), randomBytes(9 * MiB)];
    const path = await push(lading, chunks);
    const headers = { authorization: `Bearer ${lading.key}` };
    const whole = Buffer.concat(chunks);
    const pulled = await fetch(lading.url + path, { headers });
    assert.ok(Buffer.from(await pulled.arrayBuffer()).equals(whole));
    const part = await fetch(lading.url + path, { headers: { ...headers, range: 'bytes=6000000-7000000' } });
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(whole.subarray(6_000_000, 7_000_001)));
    assert.equal(existsSync(join(dataDir, 'objects')), false, 'bytes on our disk');
    const report = await verify(lading);
    assert.match(report.output, /All is well/);
    assert.equal(report.code, 0);
    await seen(async () => (await countIn(bucket)).objects === 1);
    assert.equal(await lading.stop(), 0);
  });

  test('with redirects a GET is sent to the bucket, and a HEAD is answered here', async (t) => {
    const [dataDir, bucket] = [makeTestDirectory(t), await s3Server().makeBucket()];
    const lading = await startOnBucket(t, dataDir, bucket, { LADING_STORAGE_REDIRECT: 'true' });
    const bytes = randomBytes(MiB);
    const path = await push(lading, [bytes]);
    const headers = { authorization: `Bearer ${lading.key}` };
    const sent = await fetch(lading.url + path, { headers, redirect: 'manual' });
    assert.equal(sent.status, 307);
    assert.equal(sent.headers.get('cache-control'), 'no-store');
    assert.equal(sent.headers.get('docker-content-digest'), path.split('/').at(-1));
    assert.equal(new URL(sent.headers.get('location') ?? '').origin, s3Server().endpoint);
    const pulled = await fetch(lading.url + path, { headers });
    assert.ok(Buffer.from(await pulled.arrayBuffer()).equals(bytes));
    const part = await fetch(lading.url + path, { headers: { ...headers, range: 'bytes=10-19' } });
    assert.equal(part.status, 206);
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20)));
    const nothing = await fetch(lading.url + path, {
      headers: { ...headers, range: `bytes=${MiB}-` },
      redirect: 'manual',
    });
    assert.equal(nothing.status, 416);
    const head = await fetch(lading.url + path, { method: 'HEAD', headers, redirect: 'manual' });
    assert.equal(head.status, 200);
    assert.equal(head.headers.get('content-length'), String(MiB));
    const anonymous = await fetch(lading.url + path, { redirect: 'manual' });
    assert.equal(anonymous.status, 401);
    assert.ok(!lading.child.output().includes('X-Amz-Signature'), 'a signed URL is in the log');
    assert.equal(await lading.stop(), 0);
  });

  test('what a kill leaves of an upload is found by its row and removed', async (t) => {
    const [dataDir, bucket] = [makeTestDirectory(t), await s3Server().makeBucket()];
    // On PostgreSQL others may still be writing, so nobody takes the row away before five minutes are over.
    const onSqlite = { LADING_DATABASE_URL: '' };
    const first = await startOnBucket(t, dataDir, bucket, onSqlite);
    const kept = await push(first, [randomBytes(1000)]);
    const headers = { authorization: `Bearer ${first.key}` };
    const upload = request(await startUpload(first), { method: 'PATCH', headers });
    upload.on('error', () => {});
    upload.write(randomBytes(20 * MiB));
    await seen(async () => (await countIn(bucket)).uploads === 1);
    await first.kill9();
    assert.equal((await countIn(bucket)).uploads, 1);
    const second = await startOnBucket(t, dataDir, bucket, onSqlite);
    await seen(async () => (await countIn(bucket)).uploads === 0);
    assert.deepEqual(await countIn(bucket), { objects: 1, uploads: 0 });
    assert.equal((await fetch(second.url + kept, { headers })).status, 200);
    assert.equal((await verify(second)).code, 0);
    assert.equal(await second.stop(), 0);
  });
});
