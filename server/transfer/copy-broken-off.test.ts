import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertSound, copy, lookInto, makePlace, refused, serveOn, startSource } from '#test/copy-world.ts';
import { digestOf, pushBlob } from '#test/oci-client.ts';

// Without the state of each object in the target, half a run would be taken for a whole one.
test('a copy that breaks off anywhere cannot be served, and the next run completes it', async (t) => {
  const source = await startSource(t);
  const place = await makePlace(t);
  for (const writesBeforeTheEnd of [0, 1, 3]) {
    let writes = 0;
    const stopping = new AbortController();
    const broken = copy(source.place, place, {
      signal: stopping.signal,
      target: (target) => ({
        ...target,
        blobs: {
          ...target.blobs,
          write: async (key, bytes) => {
            if (writes++ < writesBeforeTheEnd) return target.blobs.write(key, bytes);
            stopping.abort(new Error('the power went off'));
            throw new Error('the power went off');
          },
        },
      }),
    });
    await assert.rejects(broken, /power went off/);
    await assert.rejects(serveOn(t, place, source.team), refused('unavailable', /unfinished copy/));
  }
  await copy(source.place, place);
  await assertSound(await serveOn(t, place, source.team));
});

test('what a killed write left behind is written anew', async (t) => {
  const source = await startSource(t);
  const place = await makePlace(t);
  const stopping = new AbortController();
  const begun: string[] = [];
  const broken = copy(source.place, place, {
    signal: stopping.signal,
    target: (target) => ({
      ...target,
      blobs: {
        ...target.blobs,
        write: async (key, bytes) => {
          begun.push(key);
          // Whole, but nobody has noted it.
          await target.blobs.write(key, bytes);
          stopping.abort(new Error('killed'));
          throw new Error('killed');
        },
      },
    }),
  });
  await assert.rejects(broken, /killed/);
  const view = await lookInto(place);
  const [other = '', half = ''] = begun;
  await view.replaceObject(other, Buffer.from('other'));
  await view.leaveUnfinished(half);
  const copied = await copy(source.place, place, {});
  assert.equal(copied.objects.kept, 0);
  const target = await serveOn(t, place, source.team);
  await assertSound(target);
  assert.deepEqual(await target.platform.storeView.listUnfinished(), []);
});

// What is in doubt is not lost: a store that is away for a while must not cost anybody a blob.
test('what the source or the target refuses is tried again, and in the end the copy is not called complete', async (t) => {
  const source = await startSource(t);
  const place = await makePlace(t);
  const refusals = new Map<string, number>();
  let never = '';
  const copied = await copy(source.place, place, {
    target: (target) => ({
      ...target,
      blobs: {
        ...target.blobs,
        write: async (key, bytes) => {
          never ||= key;
          const times = refusals.get(key) ?? 0;
          refusals.set(key, times + 1);
          if (key === never || times === 0) throw new Error('503 SlowDown');
          return target.blobs.write(key, bytes);
        },
      },
    }),
  });
  assert.equal(copied.isComplete, false);
  assert.deepEqual(copied.lost, []);
  assert.deepEqual(
    copied.inDoubt.map(({ key, why }) => [key, why]),
    [[never, '503 SlowDown']],
  );
  await assert.rejects(serveOn(t, place, source.team), refused('unavailable', /unfinished copy/));
  const again = await copy(source.place, place);
  assert.deepEqual([again.objects.copied, again.objects.kept], [1, copied.objects.copied]);
  await assertSound(await serveOn(t, place, source.team));
});

// What would break without this: on S3 parts of it stay that no listing of objects shows, and are paid for.
test('what a killed run has half written, and nobody needs any more, is removed with all its parts', async (t) => {
  const source = await startSource(t);
  const place = await makePlace(t);
  const digest = await pushBlob(source.owner, 'acme/app-0', 'pushed and deleted');
  const stopping = new AbortController();
  const killed = copy(source.place, place, {
    signal: stopping.signal,
    target: (target) => ({ ...target, requireRoom: () => stopping.abort(new Error('killed')) }),
  });
  await assert.rejects(killed, /killed/);
  const row = source.platform.db.selectFrom('blobs').select('object_key').where('digest', '=', digest);
  const { object_key: key } = await row.executeTakeFirstOrThrow();
  const view = await lookInto(place);
  await view.leaveUnfinished(key);
  assert.equal((await source.owner('DELETE', `/v2/acme/app-0/blobs/${digest}`)).status, 202);
  const removals: unknown[] = [];
  const copied = await copy(source.place, place, {
    target: (target) => ({
      ...target,
      blobs: {
        ...target.blobs,
        remove: async (removed, options) => {
          if (removed === key) removals.push(options);
          await target.blobs.remove(removed, options);
        },
      },
    }),
  });
  assert.deepEqual([copied.isComplete, copied.removed, removals], [true, 1, [{ isWhole: false }]]);
  assert.deepEqual(await view.listUnfinished(), []);
});

test('a target that refuses removals at the end is whole all the same, and a server goes on with it', async (t) => {
  const source = await startSource(t);
  const place = await makePlace(t);
  for (const text of ['a', 'b', 'c', 'd']) await pushBlob(source.owner, 'acme/app-0', text);
  await copy(source.place, place);
  for (const text of ['a', 'b', 'c', 'd']) await source.owner('DELETE', `/v2/acme/app-0/blobs/${digestOf(text)}`);
  const copied = await copy(source.place, place, {
    target: (target) => ({
      ...target,
      blobs: { ...target.blobs, remove: () => Promise.reject(new Error('503 SlowDown')) },
    }),
  });
  assert.deepEqual([copied.isComplete, copied.removed], [true, 0]);
  await assertSound(await serveOn(t, place, source.team));
});

test('a full target ends the copy at once', async (t) => {
  const source = await startSource(t);
  let writes = 0;
  const full = Object.assign(new Error('The disk that holds the images is full.'), { code: 'ENOSPC' });
  const broken = copy(source.place, await makePlace(t), {
    target: (target) => ({
      ...target,
      blobs: {
        ...target.blobs,
        write: async () => {
          writes++;
          throw full;
        },
      },
    }),
  });
  await assert.rejects(broken, full);
  assert.ok(writes <= 8, 'no more than were begun');
  const noRoom = copy(source.place, await makePlace(t), {
    target: (target) => ({
      ...target,
      requireRoom: (bytes) => assert.fail(`${bytes} bytes do not fit`),
    }),
  });
  await assert.rejects(noRoom, /\d+ bytes do not fit/);
});
