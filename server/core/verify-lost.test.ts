import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { basic, openOci, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
import { digestOf } from './digest.ts';
import { Failure } from './failure.ts';
import { type Finding, type Verification, verify } from './verify.ts';

/** A registry with so many blobs. */
async function open(t: TestContext, count: number) {
  const { platform, ask } = await openOci(t);
  const team = await seedTeam(platform, 'acme');
  const client = withAuthorization(ask, basic(team.secret));
  const blobs = Array.from({ length: count }, (_, i) => Buffer.from(`layer ${i}`));
  for (const body of blobs) {
    const url = `/v2/acme/app/blobs/uploads/?digest=${digestOf(body)}`;
    assert.equal((await client('POST', url, { body })).status, 201);
  }
  const run = async (flags: Partial<Verification> = {}) => {
    const findings: Finding[] = [];
    await verify({ platform, deep: false, repair: false, report: (one) => findings.push(one), ...flags });
    return findings.map(({ kind, repair }) => [kind, repair]);
  };
  const view = platform.storeView;
  /** What a wrong bucket, prefix or directory looks like. Answers how to come back from it. */
  const loseAll = async (keys: Iterable<string>) => {
    const lost = new Map<string, Buffer>();
    for (const key of keys) {
      lost.set(key, await view.readObject(key));
      await view.loseObject(key);
    }
    return async () => {
      for (const [key, bytes] of lost) await view.replaceObject(key, bytes);
    };
  };
  const keys = [...(await view.listObjects()).keys()];
  const countLost = async () =>
    (await platform.db.selectFrom('blobs').select('digest').where('lost', '=', 1).execute()).length;
  return { platform, client, blobs, run, view, keys, loseAll, countLost };
}

const there = 'blob marked as lost is there';

test('what was marked as lost and is there again is said, and a repair takes the mark back', async (t) => {
  const { client, blobs, run, keys, loseAll } = await open(t, 3);
  const putBack = await loseAll(keys);
  assert.deepEqual(await run({ repair: true }), Array(3).fill(['object missing', 'marked as lost']));
  assert.deepEqual(await run({ repair: true }), Array(3).fill(['blob lost', undefined]));
  await putBack();
  assert.deepEqual(await run(), Array(3).fill([there, undefined]));
  const url = `/v2/acme/app/blobs/${digestOf(blobs[0] as Buffer)}`;
  assert.equal((await client('HEAD', url)).status, 404, 'looking alone changes nothing');
  assert.deepEqual(await run({ repair: true }), Array(3).fill([there, 'taken back']));
  assert.equal((await client('GET', url)).text, 'layer 0');
  assert.deepEqual(await run({ deep: true }), []);
});

test('bytes of the right size and another digest stay marked as lost', async (t) => {
  const { run, view, keys, loseAll, countLost } = await open(t, 1);
  const putBack = await loseAll(keys);
  await run({ repair: true });
  await putBack();
  const [key = ''] = keys;
  await view.replaceObject(key, Buffer.from('LAYER 0'));
  assert.deepEqual(await run({ repair: true }), [['blob lost', undefined]]);
  assert.equal(await countLost(), 1);
});

test('a repair that would give most objects up changes nothing, unless it is told to', async (t) => {
  const { platform, run, keys, loseAll, countLost } = await open(t, 30);
  await platform.db.updateTable('repositories').set({ size: 1 }).execute();
  const putBack = await loseAll(keys.slice(0, 21));
  await assert.rejects(run({ repair: true }), (error) => {
    assert.ok(error instanceof Failure);
    assert.match(error.message, /^21 of 30 objects .* nothing was changed.*LADING_STORAGE_URL.*LADING_DATA_DIR.*--yes/);
    return true;
  });
  assert.equal(await countLost(), 0);
  const { size } = await platform.db.selectFrom('repositories').select('size').executeTakeFirstOrThrow();
  assert.equal(size, 1, 'nothing at all was changed');
  assert.equal((await run()).length, 22, 'looking is always allowed');
  assert.equal((await run({ repair: true, isSure: true })).length, 22);
  assert.equal(await countLost(), 21);
  assert.equal((await run({ repair: true })).length, 21, 'what is marked already is not counted again');
  await putBack();
  await run({ repair: true });
  assert.deepEqual(await run({ deep: true }), []);
});

test('a repair gives up a few of few, and many of very many, without being told', async (t) => {
  const { run, keys, loseAll, countLost } = await open(t, 44);
  await loseAll(keys.slice(0, 22));
  await run({ repair: true });
  assert.equal(await countLost(), 22);
});

test('a store that only fails ends the look with one sentence, and nothing is repaired or logged', async (t) => {
  const { platform, run } = await open(t, 9);
  await platform.db.updateTable('repositories').set({ size: 1 }).execute();
  let calls = 0;
  const size = () => {
    calls++;
    return Promise.reject(new Failure('unavailable', 'The store is away.'));
  };
  const logged: string[] = [];
  const log = { ...platform.log, warn: (_: object, message: string) => logged.push(message) };
  const away = { ...platform, log, blobs: { ...platform.blobs, size } };
  await assert.rejects(run({ platform: away, repair: true }), {
    reason: 'unavailable',
    message: /: The store is away\.$/,
  });
  assert.deepEqual([calls, logged], [5, []]);
  assert.deepEqual(await run(), [['repository size', undefined]]);
});

test('single errors of the store end nothing', async (t) => {
  const { platform, run } = await open(t, 12);
  let calls = 0;
  const size = (key: string) =>
    calls++ % 5 < 4 ? Promise.reject(new Failure('unavailable', 'Away.')) : platform.blobs.size(key);
  const findings = await run({ platform: { ...platform, blobs: { ...platform.blobs, size } } });
  assert.deepEqual(findings, Array(10).fill(['object in doubt', undefined]));
});
