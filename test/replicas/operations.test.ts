import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Replica } from '../servers/replicas.ts';
import { makeRegistry, newName, pushImage, until, useReplicas } from './world.ts';

// Long work is a row. Each replica looks for work; a row is one replica's for a minute, and another's when that one is dead.

const world = useReplicas();

type Claim = { worker: string; until: number; seenAt: number };

/** The operation as the database has it, at the database's time. */
async function look(id: string) {
  const [row] = await world.rows(
    `select state, worker, claimed_until::float8 as until, again, attempts::int as attempts,
       (extract(epoch from clock_timestamp()) * 1000)::float8 as now
     from operations where id = $1`,
    [id],
  );
  return row as { state: string; worker: string | null; until: number | null; attempts: number; now: number };
}

type Watched = { claims: Claim[]; doneAt: number };

/** Everybody who was seen with the operation until it was done, in order: who has it for some milliseconds may be missed. */
async function watch(id: string, withinMs: number): Promise<Watched> {
  const claims: Claim[] = [];
  let doneAt = 0;
  await until(
    `operation ${id}`,
    async () => {
      const { state, worker, until, now } = await look(id);
      if (worker !== null && claims.at(-1)?.worker !== worker) claims.push({ worker, until: until ?? 0, seenAt: now });
      const last = claims.at(-1);
      if (worker !== null && last) last.until = until ?? 0;
      assert.notEqual(state, 'failed');
      doneAt = now;
      return state === 'done';
    },
    withinMs,
  );
  return { claims, doneAt };
}

const auditOf = (action: string, field: string, value: string) =>
  world.rows(`select id from audit_events where action = $1 and detail like $2`, [action, `%"${field}":"${value}"%`]);

/** A registry with an image whose bytes nobody needs any more. */
async function makeGarbage(): Promise<string> {
  const name = newName('litter');
  await makeRegistry(world, world, name);
  const { digest } = await pushImage(world, world, `${name}/app`, 'v1');
  const gone = await world.ask(world, 'DELETE', `/v2/${name}/app/manifests/${digest}`);
  assert.equal(gone.status, 202, gone.text);
  return name;
}

async function collect(name: string): Promise<string> {
  const path = `/lading/v1/registries/${name}/garbage-collection`;
  const { status, json, text } = await world.ask(world, 'POST', path, { body: { deleteUntagged: true } });
  assert.equal(status, 202, text);
  return json.id;
}

test('of many operations each is worked on by one replica, once', async () => {
  const names = await Promise.all(Array.from({ length: 9 }, makeGarbage));
  const ids = await Promise.all(names.map(collect));
  const watched = await Promise.all(ids.map((id) => watch(id, 60_000)));
  for (const [index, id] of ids.entries()) {
    assert.ok((watched[index]?.claims.length ?? 0) <= 1, JSON.stringify(watched[index]));
    assert.equal((await auditOf('registry.collected', 'operation', id)).length, 1);
    assert.equal((await look(id)).attempts, 0);
  }
});

type Work = { lock: string; ask: () => Promise<string> };

/** Each kind of work, asked for while something that it needs is held by us: so it stands still in the middle. */
const kinds: Record<string, () => Promise<Work>> = {
  garbage_collection: async () => {
    const name = await makeGarbage();
    const lock = `select r.id from repositories r join registries g on g.id = r.registry_id where g.name = '${name}' for update`;
    return { lock, ask: () => collect(name) };
  },
  delete_registry: async () => {
    const name = newName('gone');
    await makeRegistry(world, world, name);
    await pushImage(world, world, `${name}/app`, 'v1');
    return { lock: lockLinks(name), ask: () => remove(`/registries/${name}`, name) };
  },
  delete_repository: async () => {
    const name = newName('kept');
    await makeRegistry(world, world, name);
    await pushImage(world, world, `${name}/app`, 'v1');
    // What is small and has no open upload would be gone with the request.
    assert.equal((await world.ask(world, 'POST', `/v2/${name}/app/blobs/uploads/`)).status, 202);
    return { lock: lockLinks(name), ask: () => remove(`/registries/${name}/repositories/app`, name) };
  },
};

const lockLinks = (name: string) =>
  `select l.digest from repository_blobs l join registries g on g.id = l.registry_id where g.name = '${name}' for update of l`;

async function remove(path: string, registry: string): Promise<string> {
  const { status, text } = await world.ask(world, 'DELETE', `/lading/v1${path}`);
  assert.ok(status < 300, text);
  const [row] = await world.rows(
    `select id from operations where input like $1 and kind like 'delete_%' order by id desc limit 1`,
    [`%${registry}%`],
  );
  return row.id;
}

/** The one who works on it is killed in the middle. Answers the claim that is left behind. */
async function killInTheMiddle(prepare: (typeof kinds)[string]): Promise<{ id: string; claim: Claim }> {
  const { lock, ask } = await prepare();
  const holder = await world.connect();
  await holder.query('begin');
  await holder.query(lock);
  const id = await ask();
  const claim = await until('a worker', async () => {
    const { state, worker, until, now } = await look(id);
    return state === 'running' && worker !== null && { worker, until: until ?? 0, seenAt: now };
  });
  const pid = Number(claim.worker.split('/').at(-2));
  const victim = world.replicas.find((replica) => replica.pid() === pid) as Replica;
  await until('that it waits for us', async () => {
    const waiting = await world.rows(`select 1 from pg_stat_activity where wait_event_type = 'Lock' limit 1`);
    return waiting.length > 0;
  });
  await victim.kill9();
  await holder.query('rollback');
  return { id, claim };
}

const clocksDifferMs = 2000;

test('what a killed replica worked on is taken over by another when its minute is over, and done once', async (t) => {
  const left = new Map<string, { id: string; claim: Claim; watched: Promise<Watched> }>();
  for (const [kind, prepare] of Object.entries(kinds)) {
    const { id, claim } = await killInTheMiddle(prepare);
    left.set(kind, { id, claim, watched: watch(id, 300_000) });
    await Promise.all(world.replicas.map((replica) => replica.start()));
  }
  await Promise.all(
    [...left].map(async ([kind, { claim, watched }]) => {
      const { claims, doneAt } = await watched;
      const [first = claim, second, ...more] = claims;
      assert.equal(first.worker, claim.worker, 'nobody took it before we began to look');
      assert.deepEqual(more, []);
      // Its worker is dead, so whoever has done it is another.
      const lateMs = (second?.seenAt ?? doneAt) - first.until;
      t.diagnostic(`${kind}: taken over ${Math.round(lateMs)} ms after the claim had ended`);
      // A claim is good to its end, as far as replicas agree on the time: to half a round trip to the database.
      assert.ok(lateMs >= -clocksDifferMs, `${lateMs}`);
    }),
  );
  const collected = left.get('garbage_collection')?.id ?? '';
  assert.equal((await auditOf('registry.collected', 'operation', collected)).length, 1);
  const removed = await world.rows(`select id from audit_events where action = 'registry.removed'`);
  assert.equal(removed.length, 1);
  assert.deepEqual(await world.rows(`select id from registries where state = 'deleting'`), []);
  assert.deepEqual(await world.rows(`select id from repositories where state = 'deleting'`), []);
});

test('what a stopped replica works on is handed over at once', async () => {
  const name = await makeGarbage();
  const holder = await world.connect();
  await holder.query('begin');
  await holder.query(
    `select r.id from repositories r join registries g on g.id = r.registry_id where g.name = '${name}' for update`,
  );
  const id = await collect(name);
  const { worker } = await until('a worker', async () => {
    const row = await look(id);
    return row.worker !== null && row;
  });
  const pid = Number(worker?.split('/').at(-2));
  const stopped = world.replicas.find((replica) => replica.pid() === pid)?.stop();
  await holder.query('rollback');
  assert.equal(await stopped, 0);
  await until('its end', async () => (await look(id)).state === 'done', 20_000);
  assert.equal((await auditOf('registry.collected', 'operation', id)).length, 1);
});
