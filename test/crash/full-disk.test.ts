import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { type Lading, startLading } from '../servers/lading.ts';
import { checkBlobs, checkManifests, checkTags } from './audit.ts';
import { type Ledger, openLedger } from './ledger.ts';
import { type Client, digestOf, pushImage, uploads } from './push.ts';
import { readDirectory, settle } from './store.ts';

const run = promisify(execFile);
const DISK_MIB = 96;
const REPOSITORY = 'default/full/app';

type SmallDisk = { directory: string; dataDir: string; start: (key?: string) => Promise<Lading> };

/** A small disk of its own for a server; undefined where this process may not mount one. */
async function mountSmallDisk(t: TestContext): Promise<SmallDisk | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'lading-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m,mode=700`, 'lading-test', directory]);
  } catch (error) {
    await rm(directory, { recursive: true });
    t.skip(`a tmpfs cannot be mounted here: ${(error as Error).message}`);
    return undefined;
  }
  const dataDir = join(directory, 'data');
  const servers: Lading[] = [];
  // In this order: a disk that a server holds open cannot be unmounted.
  t.after(async () => {
    for (const server of servers) await server.kill9();
    await run('umount', [directory]);
    await rm(directory, { recursive: true });
  });
  const start = async (key?: string) => {
    const options = { dataDir, env: { LADING_LOG_LEVEL: 'error' } };
    const server = await startLading(key === undefined ? options : { ...options, key });
    servers.push(server);
    return server;
  };
  return { directory, dataDir, start };
}

/** Takes all but `leftBytes` of the disk. */
async function fill(directory: string, leftBytes: number): Promise<string> {
  const { bavail, bsize } = await statfs(directory);
  const path = join(directory, 'filler');
  await writeFile(path, Buffer.alloc(Math.max(0, bavail * bsize - leftBytes)));
  return path;
}

function clientOf(lading: Lading, ledger: Ledger): Client {
  const authorization = `Basic ${Buffer.from(`disk:${lading.key}`).toString('base64')}`;
  return { url: lading.url, authorization, signal: AbortSignal.timeout(60_000), ledger };
}

async function checkAll(lading: Lading, ledger: Ledger): Promise<string[]> {
  const reader = clientOf(lading, ledger);
  const faults = [
    await checkBlobs(reader, [...ledger.blobs.keys()], ledger),
    await checkManifests(reader, [...ledger.manifests.keys()], ledger),
    await checkTags(reader, [...ledger.tags.keys()], ledger),
  ];
  return faults.flat();
}

/** The refusal of a push of `size` bytes; fails if it is taken. */
async function pushRefused(
  client: Client,
  size: number,
): Promise<{ status: number; text: string; type: string | null }> {
  const bytes = randomBytes(size);
  const path = `/v2/${REPOSITORY}/blobs/uploads/?digest=${digestOf(bytes)}`;
  const answer = await fetch(new URL(path, client.url), {
    method: 'POST',
    headers: { authorization: client.authorization },
    body: bytes,
  });
  return { status: answer.status, text: await answer.text(), type: answer.headers.get('content-type') };
}

test('a full disk refuses pushes clearly, loses nothing and takes pushes again when space returns', async (t) => {
  const disk = await mountSmallDisk(t);
  if (disk === undefined) return;
  const lading = await disk.start();
  const ledger = openLedger();
  const client = clientOf(lading, ledger);
  await pushImage(client, REPOSITORY, REPOSITORY, 'before', 'moving');

  const filler = await fill(disk.directory, 2_000_000);
  for (const size of [8_000_000, 3_000_000]) {
    const { status, text, type } = await pushRefused(client, size);
    assert.ok(status === 503 || status === 507 || status === 403, `${status} ${text}`);
    assert.match(type ?? '', /^application\/json/);
    assert.match(JSON.parse(text).errors[0].message, /disk|space|full/i);
  }
  const streamed = randomBytes(6_000_000);
  await assert.rejects(() => uploads.streamed?.(client, REPOSITORY, streamed, digestOf(streamed)) ?? Promise.resolve());
  assert.deepEqual(await checkAll(lading, ledger), []);
  assert.ok(lading.child.isRunning(), lading.child.output());

  await truncate(filler, 0);
  await pushImage(client, REPOSITORY, REPOSITORY, 'after', 'moving');
  assert.deepEqual(await checkAll(lading, ledger), []);
  assert.deepEqual(await settle(() => readDirectory(disk.dataDir)), []);
});

test('a disk without a single free block keeps serving what it has, and the server starts again when space returns', async (t) => {
  const disk = await mountSmallDisk(t);
  if (disk === undefined) return;
  const lading = await disk.start();
  const ledger = openLedger();
  const client = clientOf(lading, ledger);
  await pushImage(client, REPOSITORY, REPOSITORY, 'before', 'moving');

  const filler = await fill(disk.directory, 0);
  const { status } = await pushRefused(client, 500_000);
  assert.ok(status === 503 || status === 507 || status === 403, String(status));
  assert.deepEqual(await checkAll(lading, ledger), []);
  await lading.kill9();

  await truncate(filler, 0);
  const again = await disk.start(lading.key);
  assert.deepEqual(await checkAll(again, ledger), []);
  await pushImage(clientOf(again, ledger), REPOSITORY, REPOSITORY, 'after', 'moving');
  assert.deepEqual(await settle(() => readDirectory(disk.dataDir)), []);
  assert.equal(await again.stop(), 0, again.child.output());
});
