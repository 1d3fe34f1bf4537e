import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, globSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '#database/open-database.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { watch } from '#test/servers/child.ts';
import { LADING, type Lading, startLading } from '#test/servers/lading.ts';

// The real commands beside a real server that clients push to.

const key = `ldg_test_${randomBytes(24).toString('hex')}`;

async function start(t: Scope, dataDir: string, env: Record<string, string> = {}): Promise<Lading> {
  const lading = await startLading({ dataDir, key, env });
  t.after(() => lading.kill9());
  return lading;
}

const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Blobs of these bytes, in a repository. */
async function push({ url }: Lading, blobs: readonly Buffer[]): Promise<void> {
  for (const body of blobs) {
    const path = `${url}/v2/default/app/blobs/uploads/?digest=${sha256(body)}`;
    const answer = await fetch(path, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body,
    } as RequestInit);
    assert.equal(answer.status, 201, await answer.text());
  }
}

async function assertPulled({ url }: Lading, blobs: readonly Buffer[]): Promise<void> {
  for (const bytes of blobs) {
    const answer = await fetch(`${url}/v2/default/app/blobs/${sha256(bytes)}`, {
      headers: { authorization: `Bearer ${key}` },
    });
    assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sha256(bytes));
  }
}

async function run(env: NodeJS.ProcessEnv, ...args: string[]) {
  const child = watch(spawn(LADING, args, { env, stdio: ['ignore', 'pipe', 'pipe'] }), LADING);
  return { code: await child.exited, output: child.output() };
}

/** Of a server on SQLite and disk in this directory, with the keys of another. */
const embedded = ({ env }: Lading, dataDir: string): NodeJS.ProcessEnv => {
  const { LADING_DATABASE_URL: _database, LADING_STORAGE_URL: _storage, ...rest } = env;
  return { ...rest, LADING_DATA_DIR: dataDir };
};

const some = (count: number, size: number) => Array.from({ length: count }, () => randomBytes(size));

test('a backup killed again and again leaves the one before, and the next run completes it', async (t) => {
  const directory = makeTestDirectory(t);
  const [data, backup] = [join(directory, 'data'), join(directory, 'a backup: "odd" näme')];
  const lading = await start(t, data);
  const first = some(20, 50_000);
  await push(lading, first);
  assert.deepEqual((await run(lading.env, 'backup', backup)).code, 0);
  const before = statSync(join(backup, 'lading.db')).ino;
  const more = some(60, 400_000);
  await push(lading, more);
  for (const objects of [21, 35]) {
    await killWhen(lading.env, ['backup', backup], () => globSync('objects/*/*', { cwd: backup }).length >= objects);
    assert.equal(statSync(join(backup, 'lading.db')).ino, before);
  }
  const { code, output } = await run(lading.env, 'backup', backup);
  assert.equal(code, 0, output);
  assert.notEqual(statSync(join(backup, 'lading.db')).ino, before);
  assert.match(output, /The master key is NOT in the backup/);
  const { code: checked, output: all } = await lastLine(embedded(lading, directory), output);
  assert.deepEqual([checked, /All is well/.test(all)], [0, true], all);
  const found = await run(embedded(lading, backup), 'verify', '--deep', '--json');
  const { findings } = JSON.parse(found.output) as { findings: { kind: string }[] };
  assert.deepEqual(
    findings.map(({ kind }) => kind),
    ['secrets lost'],
    'all but the key is there',
  );

  // The hold of what was killed runs out by itself; the one that came to its end is gone.
  const { db, close } = await openDatabase({ dataDir: data, url: lading.env.LADING_DATABASE_URL });
  const holds = await db.selectFrom('holds').select('until').execute();
  await close();
  assert.equal(holds.length, 2);
  for (const { until } of holds) assert.ok(until < Date.now() + 11 * 60_000);

  // Refused while the key is elsewhere, before anything is written.
  const restored = join(directory, 'restored');
  const refusal = await run(embedded(lading, restored), 'restore', backup);
  assert.deepEqual(
    [refusal.code, /do not open with the master key.*Nothing was written/.test(refusal.output)],
    [2, true],
    refusal.output,
  );
  assert.equal(existsSync(join(restored, 'lading.db')), false);
  assert.match(refusal.output, /on a copy of the backup, LADING_DATA_DIR=<copy> bin\/lading rotate-master-key --disc/);
  const keyless = join(directory, 'keyless');
  cpSync(backup, keyless, { recursive: true });
  const dropped = await run(embedded(lading, keyless), 'rotate-master-key', '--discard-lost', '--yes');
  assert.match(dropped.output, /Next: bin\/lading restore .*keyless, and start the server on what it fills/);
  assert.equal((await run(lading.env, 'backup', backup, '--with-master-key')).code, 0);
  assert.equal(statSync(join(backup, 'master-key')).mode & 0o777, 0o600);
  const done = await run(embedded(lading, restored), 'restore', backup);
  assert.equal(done.code, 0, done.output);
  assert.match((await run(embedded(lading, restored), 'verify', '--deep')).output, /All is well/);
  const again = await start(t, restored, { LADING_DATABASE_URL: '', LADING_STORAGE_URL: '' });
  await assertPulled(again, [...first, ...more]);
});

test('a backup that has the master key of an earlier time is said to lack the one in use', async (t) => {
  const directory = makeTestDirectory(t);
  const [data, backup] = [join(directory, 'data'), join(directory, 'backup')];
  const lading = await start(t, data);
  const isIncluded = async (...flags: string[]) => {
    const { code, output } = await run(lading.env, 'backup', backup, '--json', ...flags);
    assert.equal(code, 0, output);
    return (JSON.parse(output) as { masterKey: { isIncluded: boolean } }).masterKey.isIncluded;
  };
  assert.equal(await isIncluded(), false);
  assert.equal(await isIncluded('--with-master-key'), true);
  assert.equal(await isIncluded(), true);
  assert.equal((await run(lading.env, 'rotate-master-key', '--new-key')).code, 0);
  assert.equal(await isIncluded(), false);
});

/** Runs what a summary says last, in a shell. */
async function lastLine(env: NodeJS.ProcessEnv, output: string) {
  const command =
    output
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^.*?: /, '')
      .replace('bin/lading', LADING) ?? '';
  const child = watch(spawn('sh', ['-c', command], { env, stdio: ['ignore', 'pipe', 'pipe'] }), LADING);
  return { code: await child.exited, output: child.output() };
}

async function killWhen(env: NodeJS.ProcessEnv, args: string[], isTime: () => boolean): Promise<void> {
  const child = spawn(LADING, args, { env, stdio: 'ignore' });
  const exited = once(child, 'exit');
  while (!isTime() && child.exitCode === null) await new Promise((resolve) => setImmediate(resolve));
  child.kill('SIGKILL');
  await exited;
}

test('moving house: copied while the server works, once more when it is stopped, and started there', async (t) => {
  const directory = makeTestDirectory(t);
  const [data, target] = [join(directory, 'data'), join(directory, 'new')];
  const lading = await start(t, data);
  const blobs = some(30, 100_000);
  await push(lading, blobs);
  const args = ['copy-store', '--to-database', target, '--to-storage', target];
  const bulk = await run(lading.env, ...args);
  assert.equal(bulk.code, 0, bulk.output);
  assert.match(bulk.output, /stop the servers, run this again/);
  const late = some(3, 1000);
  await push(lading, late);
  assert.equal(await lading.stop(), 0);
  const rest = await run(lading.env, ...args, '--json');
  const { objects, serversAtWork, changesSince } = JSON.parse(rest.output);
  assert.deepEqual([objects.copied, objects.kept, serversAtWork, changesSince], [3, 30, false, 0]);
  const moved = await start(t, target, { LADING_DATABASE_URL: '', LADING_STORAGE_URL: '' });
  await assertPulled(moved, [...blobs, ...late]);
  const twice = await run(lading.env, ...args);
  assert.deepEqual([twice.code, /is in use by another lading serve/.test(twice.output)], [2, true], twice.output);
});

test('a copy that is told to stop says so, and keeps what it has', async (t) => {
  const directory = makeTestDirectory(t);
  const [data, backup] = [join(directory, 'data'), join(directory, 'backup')];
  const lading = await start(t, data);
  await push(lading, some(60, 400_000));
  const child = spawn(LADING, ['backup', backup], { env: lading.env, stdio: ['ignore', 'pipe', 'pipe'] });
  const watched = watch(child, LADING);
  while (globSync('objects/*/*', { cwd: backup }).length < 20) await new Promise((resolve) => setImmediate(resolve));
  child.kill('SIGTERM');
  assert.equal(await watched.exited, 2, watched.output());
  assert.match(watched.output(), /told to stop.* it goes on where it stopped/);
  // A server that is started here would begin an empty installation.
  const refusal = await run(embedded(lading, backup), 'serve');
  assert.deepEqual([refusal.code, /unfinished copy/.test(refusal.output)], [2, true], refusal.output);
  for (const [env, ...args] of [
    [embedded(lading, backup), 'verify'],
    [embedded(lading, join(directory, 'restored')), 'restore', backup],
  ] as [NodeJS.ProcessEnv, ...string[]][]) {
    const { code, output } = await run(env, ...args);
    assert.deepEqual(
      [code, /was cut short, and there is none.*Run lading backup again/.test(output)],
      [2, true],
      output,
    );
  }
  const { output } = await run(lading.env, 'backup', backup, '--json');
  const { objects } = JSON.parse(output);
  assert.ok(objects.kept >= 12, output);
  assert.equal(objects.kept + objects.copied, 60);
});

test('errors of the commands are a sentence with what to do next', async (t) => {
  const directory = makeTestDirectory(t);
  const lading = await start(t, join(directory, 'data'));
  const answers: [string[], RegExp][] = [
    [['backup'], /^lading: lading backup needs a directory: bin\/lading backup <directory>/],
    [['backup', lading.dataDir], /is the data directory of the source itself\. Name another one\.$/m],
    [['copy-store', '--to-database', 'x'], /needs --to-storage: bin\/lading copy-store --to-database/],
    [['copy-store', '--to-database'], /--to-database needs a value/],
    [['copy-store', '--to-database', 'x', '--to-storage', 'y'], /name two directories/],
    [['copy-store', '--to-database', 'mysql://x', '--to-storage', 's3://bucket'], /neither a directory nor a postgres/],
    [['copy-store', '--to-database', 'env:NOPE', '--to-storage', directory], /the variable NOPE, which is not set/],
    [
      ['copy-store', '--to-database', 'postgres://127.0.0.1:1/x', '--to-storage', join(directory, 'y')],
      /^lading: The database of --to-database cannot be reached/,
    ],
    [['copy-store', '--to-database', 'env:LADING_X', '--to-storage', directory], /is not called LADING_/],
    [
      ['copy-store', '--to-database', 'file:/nope', '--to-storage', directory],
      /The file \/nope of --to-database cannot/,
    ],
    [['backup', join(lading.dataDir, 'sub')], /lies in the data directory of the source/],
    [['backup', '/proc/x'], /The data directory \/proc\/x \(of the backup\) cannot be made/],
    [['restore', join(directory, 'nothing')], /^lading: There is no backup in .*nothing: it holds no lading\.db\.$/m],
    [['restore', directory], /^lading: There is no backup in /],
  ];
  for (const [args, sentence] of answers) {
    const { code, output } = await run(lading.env, ...args);
    assert.equal(code, 2, output);
    assert.match(output, sentence);
    assert.doesNotMatch(output, /\n\s+at /);
  }
  rmSync(join(directory, 'y'), { recursive: true, force: true });
  assert.deepEqual(
    readdirSync(directory).filter((name) => !name.startsWith('serve')),
    ['data'],
  );
});

test('where rows and objects are elsewhere, the commands need no data directory', async (t) => {
  const directory = makeTestDirectory(t);
  const lading = await start(t, join(directory, 'data'));
  if (!lading.env.LADING_DATABASE_URL || !lading.env.LADING_STORAGE_URL) return;
  await push(lading, some(3, 1000));
  const env = {
    ...lading.env,
    LADING_DATA_DIR: join(directory, 'nowhere'),
    LADING_MASTER_KEY_FILE: join(lading.dataDir, 'master-key'),
  };
  const [backup, moved] = [join(directory, 'backup'), join(directory, 'moved')];
  const made = await run(env, 'backup', backup);
  assert.equal(made.code, 0, made.output);
  // Beside the settings of the source, as an operator would paste it.
  const looked = await lastLine(lading.env, made.output);
  assert.deepEqual([looked.code, /All is well/.test(looked.output)], [0, true], looked.output);
  const copied = await run(env, 'copy-store', '--to-database', moved, '--to-storage', moved, '--json');
  const { settings, masterKey } = JSON.parse(copied.output);
  assert.deepEqual(settings, { LADING_DATA_DIR: moved, LADING_DATABASE_URL: null, LADING_STORAGE_URL: null });
  assert.deepEqual(
    [masterKey.setting, masterKey.path, masterKey.copiedTo],
    ['LADING_MASTER_KEY_FILE', env.LADING_MASTER_KEY_FILE, null],
  );
  assert.equal((await run(env, 'verify')).code, 0);
  assert.equal(existsSync(env.LADING_DATA_DIR), false);
});
