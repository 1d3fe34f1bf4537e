import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { removeDoomed } from '#core/objects.ts';
import { expireUploads, uploadLifeMs } from '#core/uploads.ts';
import { basic, pushBlob, withAuthorization } from '#test/oci-client.ts';
import { seedTeam } from '#test/platform.ts';
import { assertHeaders, listen, openRegistry, outcomeOf, sha256, sha512, startSession } from '#test/registry-client.ts';
import { openWire } from '#test/registry-socket.ts';
import { assertCreated, assertSession, patch, put, read, statesOf, usageOf } from '#test/registry-uploads.ts';

// Sessions against each other, against time, and cut anywhere.

// Edge case 12, security test 8. Both are inside their bodies before either ends: one after the other, both would be right.
test('of two parallel PATCHes one is taken and one is 416; the blob is one of the two, whole', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform } = registry;
  const port = await listen(registry);
  for (const ranges of [[], ['Content-Range: 0-99', 'Content-Range: 0-199']]) {
    const location = await startSession(owner, 'acme/app');
    const bodies = ['a'.repeat(100), 'b'.repeat(200)];
    const wires = await Promise.all(bodies.map(() => openWire(registry, port)));
    for (const [i, wire] of wires.entries()) {
      const body = bodies[i] ?? '';
      wire.head(`PATCH ${location}`, [`Content-Length: ${body.length}`, ...ranges.slice(i, i + 1)]);
      wire.write(body.slice(1));
    }
    while (((await statesOf(registry)).writing ?? 0) < 2) await new Promise((resolve) => setImmediate(resolve));
    for (const [i, wire] of wires.entries()) wire.write(bodies[i]?.slice(0, 1) ?? '');
    const answers = await Promise.all(wires.map((wire) => wire.answer()));
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [202, 416]);
    const kept = bodies[answers.findIndex((answer) => answer.status === 202)] ?? '';
    const lost = answers.find((answer) => answer.status === 416);
    assert.ok(lost);
    assertSession(lost, 416, 'acme/app', kept.length);
    assertCreated(await put(owner, location, sha256(kept)), 'acme/app', sha256(kept));
    assert.equal(await read(owner, 'acme/app', sha256(kept)), kept);
  }
  assert.equal((await usageOf({ platform })).reserved, 0, 'what the losers had reserved is given back');
});

test('of a PATCH and a PUT at once one wins, and whatever the PUT acknowledged has its digest', async (t) => {
  const { owner } = await openRegistry(t);
  for (let round = 0; round < 5; round++) {
    const location = await startSession(owner, 'acme/app');
    const start = `round ${round}`;
    await patch(owner, location, start);
    const [patched, finished] = await Promise.all([
      patch(owner, location, ' and more'),
      put(owner, location, sha256(start)),
    ]);
    if (finished.status === 201) {
      assert.ok([404, 416].includes(patched.status), `${patched.status}`);
      assert.equal(await read(owner, 'acme/app', sha256(start)), start);
    } else if (finished.status === 400) {
      // The chunk was in before the PUT looked, on Postgres: the digest is of fewer bytes, and that ends the session.
      assert.equal(patched.status, 202);
      assert.equal((await owner('GET', location)).status, 404);
    } else {
      assert.ok([404, 416].includes(finished.status), `${finished.status}`);
      assert.equal(patched.status, 202);
      assertSession(await owner('GET', location), 204, 'acme/app', `${start} and more`.length);
    }
  }
});

test('a PUT that is sent twice at once is one 201; the other hears that the session has ended', async (t) => {
  const { owner } = await openRegistry(t);
  for (const body of ['', 'rest']) {
    const location = await startSession(owner, 'acme/app');
    await patch(owner, location, `start${body} `);
    const digest = sha256(`start${body} ${body}`);
    const answers = await Promise.all([put(owner, location, digest, body), put(owner, location, digest, body)]);
    assert.deepEqual(
      answers.map(({ status }) => (status === 201 ? 201 : [404, 416].includes(status) ? 404 : status)).sort(),
      [201, 404],
    );
    assert.equal(await read(owner, 'acme/app', digest), `start${body} ${body}`);
  }
});

test('a finished upload leaves one object, whichever way its bytes came', async (t) => {
  const { owner, platform } = await openRegistry(t);
  const location = await startSession(owner, 'acme/app');
  for (const part of ['one ', 'two ', 'three ']) await patch(owner, location, part);
  await put(owner, location, sha256('one two three four'), 'four');
  assert.deepEqual(await statesOf({ platform }), { stored: 1, doomed: 4 });
  assert.equal(await read(owner, 'acme/app', sha256('one two three four')), 'one two three four');
  assert.deepEqual(await usageOf({ platform }), { size: 18, reserved: 0 });
});

// SPEC: sessions should time out. What would break without the absolute age: a token that is over could write for ever.
test('a session that nobody continues ends after an hour, a busy one after a day', async (t) => {
  const registry = await openRegistry(t);
  const { owner, platform } = registry;
  const idle = await startSession(owner, 'acme/app');
  await patch(owner, idle, 'kept for an hour');
  const busy = await startSession(owner, 'acme/app');
  let received = 0;
  for (let hour = 0; hour < 23; hour++) {
    platform.clock.advance(3_599_000);
    received += 1;
    assertSession(await patch(owner, busy, 'x'), 202, 'acme/app', received);
    if (hour === 0) assertSession(await owner('GET', idle), 204, 'acme/app', 16);
    if (hour === 1) assert.equal(outcomeOf(await owner('GET', idle)), '404 BLOB_UPLOAD_UNKNOWN');
  }
  const left = uploadLifeMs - 23 * 3_599_000;
  platform.clock.advance(left / 2);
  await patch(owner, busy, 'x');
  platform.clock.advance(left / 2 - 1);
  assert.equal((await owner('GET', busy)).status, 204, 'a millisecond before its day is over');
  platform.clock.advance(1);
  for (const answer of [await owner('GET', busy), await patch(owner, busy, 'x'), await put(owner, busy, sha256('x'))]) {
    assert.equal(outcomeOf(answer), '404 BLOB_UPLOAD_UNKNOWN');
  }
  platform.clock.advance(60_000);
  assert.equal(await expireUploads(platform), 2);
  assert.deepEqual(await usageOf(registry), { size: 0, reserved: 0 });
  assert.deepEqual(Object.keys(await statesOf(registry)), ['doomed']);
});

test('chunks cut anywhere make the same blob', async (t) => {
  const { owner } = await openRegistry(t);
  const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(chunks, fc.boolean(), fc.boolean(), async (parts, lastInPut, strong) => {
      const whole = Buffer.concat(parts);
      const digest = strong ? sha512(whole) : sha256(whole);
      const location = await startSession(owner, 'acme/cut');
      const last = lastInPut ? Buffer.from(parts.pop() ?? []) : Buffer.alloc(0);
      let received = 0;
      for (const part of parts) {
        received += part.length;
        assertSession(await owner('PATCH', location, { body: Buffer.from(part) }), 202, 'acme/cut', received);
      }
      const answer = await owner('PUT', `${location}?digest=${digest}`, { body: last });
      assertCreated(answer, 'acme/cut', digest);
      assert.deepEqual((await owner('GET', `/v2/acme/cut/blobs/${digest}`)).bytes, whole);
    }),
    { numRuns: 25 },
  );
});

test('a first push from many clients at once makes one repository, in which each session is good', async (t) => {
  const { owner, platform } = await openRegistry(t);
  const locations = await Promise.all(Array.from({ length: 8 }, () => startSession(owner, 'acme/new')));
  assert.equal(new Set(locations).size, 8);
  assert.equal((await platform.db.selectFrom('repositories').select('id').execute()).length, 1);
  for (const location of locations) assertSession(await owner('GET', location), 204, 'acme/new', 0);
});

test('the same blob from many sessions at once is charged once and kept once', async (t) => {
  const { owner, platform } = await openRegistry(t);
  const digest = sha256('the same layer');
  const names = ['acme/a', 'acme/a', 'acme/a', 'acme/b', 'acme/b', 'acme/c'];
  const answers = await Promise.all(
    names.map(async (name) => put(owner, await startSession(owner, name), digest, 'the same layer')),
  );
  for (const [i, answer] of answers.entries()) assertCreated(answer, names[i] ?? '', digest);
  assert.deepEqual(await usageOf({ platform }), { size: 14, reserved: 0 });
  assert.deepEqual(await statesOf({ platform }), { stored: 1, doomed: 5 });
  for (const name of ['acme/a', 'acme/b'])
    assert.equal((await owner('DELETE', `/v2/${name}/blobs/${digest}`)).status, 202);
  assert.equal(await read(owner, 'acme/c', digest), 'the same layer');
});

test('what two teams push alike is kept once and charged to both; one deletes it, the other has it', async (t) => {
  const { ask, owner, platform } = await openRegistry(t);
  const other = await seedTeam(platform, 'other');
  const theirs = withAuthorization(ask, basic(other.secret));
  const digest = await pushBlob(owner, 'acme/app', 'alike');
  assert.equal((await theirs('HEAD', `/v2/other/app/blobs/${digest}`)).status, 404, 'it must be sent all the same');
  await pushBlob(theirs, 'other/app', 'alike');
  assert.deepEqual(await statesOf({ platform }), { stored: 1, doomed: 1 });
  const sizes = await platform.db.selectFrom('registries').select('size').execute();
  assert.deepEqual(
    sizes.map(({ size }) => size),
    [5, 5],
  );
  assert.equal((await owner('DELETE', `/v2/acme/app/blobs/${digest}`)).status, 202);
  platform.clock.advance(3600_000);
  await removeDoomed(platform);
  assert.equal(await read(theirs, 'other/app', digest), 'alike');
});

// One-byte chunks must not become a million objects.
test('an upload takes ten thousand chunks; after that it can only be finished', async (t) => {
  const { owner, platform } = await openRegistry(t);
  const location = await startSession(owner, 'acme/app');
  await patch(owner, location, 'first ');
  await platform.db.updateTable('uploads').set({ version: 10_001 }).execute();
  assert.equal(outcomeOf(await patch(owner, location, 'more')), '400 BLOB_UPLOAD_INVALID');
  assertCreated(await put(owner, location, sha256('first last'), 'last'), 'acme/app', sha256('first last'));
});

test('a push to a repository that is just being deleted is told to come again', async (t) => {
  const { owner, platform } = await openRegistry(t);
  await pushBlob(owner, 'acme/app', 'x');
  await platform.db.updateTable('repositories').set({ state: 'deleting' }).execute();
  for (const url of ['/v2/acme/app/blobs/uploads/', `/v2/acme/app/blobs/uploads/?digest=${sha256('')}`]) {
    const answer = await owner('POST', url);
    assert.equal(answer.status, 503);
    assertHeaders(answer, { 'Retry-After': '5', 'Content-Type': 'application/json' });
    assert.equal(answer.code, 'UNAVAILABLE');
  }
  assert.equal(outcomeOf(await owner('GET', '/v2/acme/app/tags/list')), '404 NAME_UNKNOWN');
});
