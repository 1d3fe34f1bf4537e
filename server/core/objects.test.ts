import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KyselyPlugin } from 'kysely';
import { findBroken, findRestless } from '#test/invariants.ts';
import { openTestPlatform, seedTeam, type TestPlatform } from '#test/platform.ts';
import { digestOf } from './digest.ts';
import { Failure } from './failure.ts';
import { newLocalState } from './local-state.ts';
import type { RepositoryName } from './names.ts';
import { doomLateWriters, removeDoomed, renewWriters } from './objects.ts';
import { getRegion } from './regions.ts';
import { ensureRepository, openRepository } from './registry-access.ts';
import { appendChunk } from './upload-chunks.ts';
import { finishUpload, putBlob } from './upload-finish.ts';
import { renewUploads } from './upload-renewal.ts';
import { cancelUpload, startUpload } from './uploads.ts';

const minuteMs = 60_000;

async function open(t: { after(work: () => unknown): void }) {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const query = { region: getRegion(platform), name: 'acme/app' as RepositoryName, action: 'push' } as const;
  const repository = await ensureRepository(platform, await openRepository(platform, team.owner, query));
  return { platform, team, repository, actor: team.owner };
}

const bodyOf = (text: string) => {
  async function* send() {
    yield Buffer.from(text);
  }
  return { bytes: send(), length: text.length };
};

test('a writer that wakes after its object was removed leaves nothing for good', async (t) => {
  const { platform, actor, repository } = await open(t);
  const write: TestPlatform['blobs']['write'] = async (key, bytes) => {
    platform.clock.advance(6 * minuteMs);
    assert.equal(await doomLateWriters(platform), 1);
    await removeDoomed(platform);
    return platform.blobs.write(key, bytes);
  };
  const stalled = { ...platform, blobs: { ...platform.blobs, write } };
  const digest = digestOf(Buffer.from('late'));
  const put = putBlob(stalled, actor, repository, { digest, body: bodyOf('late') });
  await assert.rejects(put, { reason: 'unavailable' });
  assert.deepEqual(await findBroken(platform), [], 'its bytes still have a row');
  platform.clock.advance(25 * 60 * minuteMs);
  await removeDoomed(platform);
  assert.deepEqual([...(await findBroken(platform)), ...(await findRestless(platform))], []);
});

test('a process forgets the running hashes of uploads that another one ended', async (t) => {
  const { platform, actor, repository } = await open(t);
  const [{ id: ended }, { id: running }] = [
    await startUpload(platform, actor, repository),
    await startUpload(platform, actor, repository),
  ];
  for (const id of [ended, running]) await appendChunk(platform, actor, repository, id, { body: bodyOf('first') });
  await cancelUpload({ ...platform, local: newLocalState() }, actor, repository, ended);
  await renewUploads(platform);
  assert.deepEqual([...platform.local.uploadHashes.keys()], [running]);
});

/** The platform, but `meanwhile` happens when the parts of an upload are about to be read or joined. */
function interrupted(platform: TestPlatform, local: TestPlatform['local'], meanwhile: () => Promise<unknown>) {
  const { read, join } = platform.blobs;
  const store: Pick<TestPlatform['blobs'], 'read' | 'join'> = {
    read: (key) => meanwhile().then(() => read(key)),
    join: (key, parts) => meanwhile().then(() => join(key, parts)),
  };
  return { ...platform, local, blobs: { ...platform.blobs, ...store } };
}

for (const [what, newLocal] of Object.entries({
  joined: (platform: TestPlatform) => platform.local,
  'read again': newLocalState,
})) {
  test(`when an upload is cancelled while its parts are ${what}, its finish hears that there is none`, async (t) => {
    const { platform, actor, repository } = await open(t);
    const { id } = await startUpload(platform, actor, repository);
    await appendChunk(platform, actor, repository, id, { body: bodyOf('first') });
    const cancelling = interrupted(platform, newLocal(platform), async () => {
      await cancelUpload(platform, actor, repository, id);
      await removeDoomed(platform);
    });
    const digest = digestOf(Buffer.from('firstsecond'));
    const finished = finishUpload(cancelling, actor, repository, id, { digest, body: bodyOf('second') });
    await assert.rejects(finished, { reason: 'not_found', detail: { about: 'upload' } });
    await removeDoomed(platform);
    assert.deepEqual([...(await findBroken(platform)), ...(await findRestless(platform))], []);
  });
}

test('when the last chunk is given up while it is joined, its finish hears that it took too long', async (t) => {
  const { platform, actor, repository } = await open(t);
  const { id } = await startUpload(platform, actor, repository);
  await appendChunk(platform, actor, repository, id, { body: bodyOf('first') });
  const stalling = interrupted(platform, platform.local, async () => {
    platform.clock.advance(6 * minuteMs);
    assert.equal(await doomLateWriters(platform), 2, 'the last chunk and the join');
    await removeDoomed(platform);
  });
  const digest = digestOf(Buffer.from('firstsecond'));
  const finished = finishUpload(stalling, actor, repository, id, { digest, body: bodyOf('second') });
  const tookTooLong = { reason: 'unavailable', detail: { about: 'upload', retryAfterSeconds: 1 } };
  await assert.rejects(finished, tookTooLong);
});

/** The same database, until it is gone. */
function withBreakingDatabase(platform: TestPlatform): { breaking: TestPlatform; breakDatabase: () => void } {
  let isGone = false;
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      if (isGone) throw new Error('the database is gone');
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  const breakDatabase = () => {
    isGone = true;
  };
  return { breaking: { ...platform, db: platform.db.withPlugin(plugin) }, breakDatabase };
}

test('when disk and database fail together, the disk is what the client hears of, and the janitor takes all it wrote', async (t) => {
  const { platform, actor, repository } = await open(t);
  const { id } = await startUpload(platform, actor, repository);
  await appendChunk(platform, actor, repository, id, { body: bodyOf('first') });

  const { breaking, breakDatabase } = withBreakingDatabase(platform);
  const join = async () => {
    breakDatabase();
    throw new Error('the disk is broken');
  };
  const store = { ...breaking, blobs: { ...platform.blobs, join } };
  const digest = digestOf(Buffer.from('firstsecond'));
  const finished = finishUpload(store, actor, repository, id, { digest, body: bodyOf('second') });
  await assert.rejects(finished, /the disk is broken/);
  assert.deepEqual([...platform.local.writers], [], 'nothing of it is kept alive');

  platform.clock.advance(6 * minuteMs);
  await renewWriters(platform);
  assert.equal(await doomLateWriters(platform), 2, 'the last chunk and the join');
  assert.deepEqual(await findBroken(platform), []);
});

test('while the store fails, removals are tried a few at a time, later and later, and all are done once it is back', async (t) => {
  const { platform, actor, repository } = await open(t);
  for (let n = 0; n < 10; n++) {
    const { id } = await startUpload(platform, actor, repository);
    await appendChunk(platform, actor, repository, id, { body: bodyOf(`chunk ${n}`) });
    await cancelUpload(platform, actor, repository, id);
  }
  let tries = 0;
  const remove = async () => {
    tries++;
    throw new Failure('unavailable', 'The store is gone.');
  };
  const failing = { ...platform, blobs: { ...platform.blobs, remove } };
  for (let round = 1; round <= 3; round++) {
    await assert.rejects(removeDoomed(failing), /The store is gone/);
    assert.equal(tries, 3 * round);
  }
  // Seven, eight and nine have been tried once each, the tenth never.
  assert.equal(await removeDoomed(platform), 1);
  platform.clock.advance(minuteMs);
  await assert.rejects(removeDoomed(failing), /The store is gone/);
  assert.equal(await removeDoomed(platform), 6);
  platform.clock.advance(minuteMs);
  assert.equal(await removeDoomed(platform), 0);
  platform.clock.advance(minuteMs);
  assert.equal(await removeDoomed(platform), 3);
  assert.deepEqual([...(await findBroken(platform)), ...(await findRestless(platform))], []);
});
