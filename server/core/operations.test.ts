import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam, type TestPlatform } from '#test/platform.ts';
import { Failure } from './failure.ts';
import { operationHandlers } from './operation-handlers.ts';
import {
  advanceOperation,
  claimOperation,
  failOperation,
  finishOperation,
  type OperationHandler,
  putBackAbandonedOperations,
  runNextOperation,
} from './operation-runs.ts';
import { enqueueOperation, getOperation, listOperations } from './operations.ts';
import { createProject } from './projects.ts';
import { getRegistry } from './registries.ts';

const kinds = ['delete_registry'];
const never = '0198c0de-0000-7000-8000-000000000000';

async function open(t: Parameters<typeof openTestPlatform>[0], overrides = {}) {
  const platform = await openTestPlatform(t, overrides);
  const team = await seedTeam(platform, 'acme');
  const enqueue = () =>
    enqueueOperation(platform, {
      kind: 'delete_registry',
      teamId: team.teamId,
      projectId: team.projectId,
      registry: { id: team.registryId, name: 'acme' },
    });
  return { platform, team, enqueue };
}

const handlers = (handler: OperationHandler) => ({
  ...operationHandlers,
  delete_registry: handler,
});

async function claim(platform: TestPlatform, worker = 'w') {
  const operation = await claimOperation(platform, worker, kinds);
  assert.ok(operation);
  return operation;
}

test('each operation goes to one worker, oldest first, whoever asks at the same moment', async (t) => {
  const { platform, enqueue } = await open(t);
  const queued = [await enqueue(), await enqueue(), await enqueue()].map(({ id }) => id);
  const got: string[] = [];
  for (let round = 0; round < 6 && got.length < 3; round++) {
    const claims = await Promise.all(
      ['a', 'b', 'c', 'd', 'e'].map((worker) => claimOperation(platform, worker, kinds)),
    );
    got.push(...claims.flatMap((operation) => (operation ? [operation.id] : [])));
  }
  assert.deepEqual(got.toSorted(), queued);
  assert.equal(await claimOperation(platform, 'f', kinds), undefined);
  assert.equal(await claimOperation(platform, 'f', ['garbage_collection']), undefined);
});

test('a worker that does not show itself for a minute loses its operation and its next batch', async (t) => {
  const { platform, enqueue } = await open(t);
  await enqueue();
  const stalled = await claim(platform);
  platform.clock.advance(59_000);
  assert.equal(await claimOperation(platform, 'other', kinds), undefined);
  await advanceOperation(platform, stalled, { freedBytes: 5, progress: { repositories: 1 } });
  platform.clock.advance(59_000);
  assert.equal(await claimOperation(platform, 'other', kinds), undefined, 'advancing keeps the claim');
  platform.clock.advance(2_000);
  const successor = await claim(platform);
  assert.deepEqual([successor.freedBytes, successor.progress], [5, { repositories: 1 }], 'what was done stays counted');
  await assert.rejects(advanceOperation(platform, stalled), { reason: 'precondition' });
  await assert.rejects(finishOperation(platform, stalled), { reason: 'precondition' });
  await failOperation(platform, stalled, 'late');
  await advanceOperation(platform, successor);
  await finishOperation(platform, successor);
  await assert.rejects(finishOperation(platform, successor), { reason: 'precondition' });
});

test('a finished operation is done, or queued once more if it was asked for again', async (t) => {
  const { platform, team, enqueue } = await open(t);
  const { id } = await enqueue();
  await platform.db.updateTable('operations').set({ again: 1 }).execute();
  await finishOperation(platform, await claim(platform));
  assert.equal((await getOperation(platform, team.owner, id)).state, 'queued');
  await finishOperation(platform, await claim(platform));
  const done = await getOperation(platform, team.owner, id);
  assert.deepEqual([done.state, done.finishedAt], ['done', platform.now()]);
  assert.equal(await claimOperation(platform, 'w', kinds), undefined);
});

test('a failure is tried again after growing pauses, and given up after five', async (t) => {
  const { platform, team, enqueue } = await open(t);
  const { id } = await enqueue();
  for (const pauseMs of [10_000, 40_000, 160_000, 640_000]) {
    await failOperation(platform, await claim(platform), 'no');
    platform.clock.advance(pauseMs);
    assert.equal(await claimOperation(platform, 'w', kinds), undefined, `before ${pauseMs} ms are over`);
    platform.clock.advance(1);
  }
  assert.equal((await getRegistry(platform, team.owner, 'acme')).status, 'active');
  await failOperation(platform, await claim(platform), 'The store does not answer.');
  const failed = await getOperation(platform, team.owner, id);
  assert.deepEqual([failed.state, failed.attempts, failed.error], ['failed', 5, 'The store does not answer.']);
  assert.equal((await getRegistry(platform, team.owner, 'acme')).statusReason, 'The store does not answer.');
  platform.clock.advance(24 * 3600_000);
  assert.equal(await claimOperation(platform, 'w', kinds), undefined);
  await enqueue();
  await finishOperation(platform, await claim(platform));
  const healed = await getRegistry(platform, team.owner, 'acme');
  assert.deepEqual([healed.status, healed.statusReason], ['active', null], 'the next success ends it');
});

test('a worker runs a handler once and notes what it threw, without what only the log may say', async (t) => {
  const logged: object[] = [];
  const log = { debug() {}, info() {}, warn() {}, error: (fields: object) => logged.push(fields) };
  const { platform, team, enqueue } = await open(t, { log });
  const { id } = await enqueue();
  const run = (work: () => Promise<void>) => runNextOperation(platform, 'w', handlers(work));
  const bug = new Error('/var/secret/path');
  assert.equal(await run(() => Promise.reject(bug)), true);
  assert.equal(await run(() => Promise.reject(bug)), false, 'a pause follows a failure');
  const afterBug = await getOperation(platform, team.owner, id);
  assert.deepEqual([afterBug.state, afterBug.attempts], ['queued', 1]);
  assert.doesNotMatch(afterBug.error ?? '', /secret/);
  assert.equal((logged[0] as { err: Error }).err, bug);
  platform.clock.advance(11_000);
  await run(() => Promise.reject(new Failure('unavailable', 'The store is full.')));
  assert.equal((await getOperation(platform, team.owner, id)).error, 'The store is full.');
});

test('a worker that was overtaken leaves the operation to its successor', async (t) => {
  const { platform, team, enqueue } = await open(t);
  const { id } = await enqueue();
  const overtaken = handlers(async (_platform, operation) => {
    platform.clock.advance(61_000);
    await claim(platform, 'quick');
    await advanceOperation(platform, operation);
  });
  const took = await runNextOperation(platform, 'slow', overtaken);
  assert.equal(took, true);
  const operation = await getOperation(platform, team.owner, id);
  assert.deepEqual([operation.state, operation.attempts, operation.error], ['running', 0, null]);
});

test("another team's operations, and those of projects a key is not bound to, are not there", async (t) => {
  const { platform, team, enqueue } = await open(t);
  const { id } = await enqueue();
  const other = await seedTeam(platform, 'other');
  const { project } = await createProject(platform, team.owner, { name: 'web' });
  const { actor: bound } = await seedKey(platform, team.teamId, { projectIds: [project.id] });
  const messages = [];
  for (const [actor, wanted] of [
    [other.owner, id],
    [bound, id],
    [team.owner, never],
    [team.owner, 'a\0'],
  ] as const) {
    const failure = await getOperation(platform, actor, wanted).catch((error) => error);
    assert.equal(failure.reason, 'not_found');
    messages.push(failure.message.replace(JSON.stringify(wanted), '…'));
  }
  assert.equal(new Set(messages).size, 1);
  assert.deepEqual((await listOperations(platform, other.owner, { limit: 9 })).items, []);
  assert.deepEqual((await listOperations(platform, bound, { limit: 9 })).items, []);
  const { actor: own } = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  for (const actor of [team.owner, own]) {
    const listed = await listOperations(platform, actor, { limit: 9, registryId: team.registryId, state: 'queued' });
    assert.deepEqual(
      listed.items.map((operation) => operation.id),
      [id],
    );
  }
  assert.deepEqual((await listOperations(platform, team.owner, { limit: 9, registryId: "x'" })).items, []);
});

test('an operation whose process is told to end stops at its next batch, and the next worker goes on at once', async (t) => {
  const { platform, team, enqueue } = await open(t);
  const { id } = await enqueue();
  let isEnding = false;
  let batches = 0;
  const work: OperationHandler = async (platform, operation) => {
    for (; batches < 3; batches++) {
      await advanceOperation(platform, operation, { progress: { batches } });
      if (batches === 0) isEnding = !isEnding;
    }
    await finishOperation(platform, operation);
  };
  await runNextOperation(platform, 'old', handlers(work), () => isEnding);
  const { state, attempts } = await getOperation(platform, team.owner, id);
  assert.deepEqual([state, attempts, batches], ['queued', 0, 1]);
  await runNextOperation(platform, 'new', handlers(work), () => false);
  assert.equal((await getOperation(platform, team.owner, id)).state, 'done');
});

test('after a crash of the only process its operations go on without waiting for their claims to end', async (t) => {
  const { platform, enqueue } = await open(t);
  await enqueue();
  await claim(platform);
  assert.equal(await claimOperation(platform, 'too early', kinds), undefined);
  await putBackAbandonedOperations(platform);
  await claim(platform, 'after the crash');
});
