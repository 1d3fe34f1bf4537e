import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '#database/open-database.ts';
import { parseMasterKeys } from '#server/config-values.ts';
import { secretsOf } from '#server/seal.ts';
import { makeTestDirectory, memoryDirectory, type Scope } from '#test/database.ts';
import { seedSealedConnections } from '#test/sealed-connections.ts';
import { watch } from '#test/servers/child.ts';
import { LADING, type Lading, startLading } from '#test/servers/lading.ts';

// The real `bin/lading` beside a real server, on SQLite two processes on one file.

const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;

const key = `ldg_test_${randomBytes(24).toString('hex')}`;

async function start(t: Scope, dataDir: string, masterKey = ''): Promise<Lading> {
  const lading = await startLading({ dataDir, key, env: { LADING_MASTER_KEY: masterKey } });
  t.after(() => lading.kill9());
  return lading;
}

async function killAtFirstLine({ env }: Lading): Promise<void> {
  const child = spawn(LADING, ['rotate-master-key'], { env, stdio: ['ignore', 'inherit', 'pipe'] });
  const [line] = await once(child.stderr, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.match(String(line), /^1\d{3} of 10001 sealed anew \(1\d %\)$/m);
}

async function run(lading: Lading, ...flags: string[]) {
  const args = ['rotate-master-key', ...flags];
  const child = watch(spawn(LADING, args, { env: lading.env, stdio: ['ignore', 'pipe', 'pipe'] }), LADING);
  return { code: await child.exited, output: child.output() };
}

/** The one sentence of a start that is refused. */
async function refusal({ env }: Lading, masterKey = ''): Promise<string> {
  const environment = { ...env, LADING_MASTER_KEY: masterKey };
  const child = watch(spawn(LADING, ['serve'], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] }), LADING);
  assert.equal(await child.exited, 2, child.output());
  return child.output().trimEnd();
}

async function seedConnections({ dataDir, env }: Lading, masterKey: string, count: number): Promise<void> {
  const { db, close } = await openDatabase({ dataDir, url: env.LADING_DATABASE_URL });
  const { id } = await db.selectFrom('teams').select('id').executeTakeFirstOrThrow();
  await seedSealedConnections(db, id, secretsOf(parseMasterKeys(masterKey)), count);
  await close();
}

/** Asks for access tokens, which a stored secret signs, and pushes, until it is told to stop. */
async function work({ url }: Lading, signal: AbortSignal): Promise<number> {
  const headers = { authorization: `Basic ${Buffer.from(`owner:${key}`).toString('base64')}` };
  let done = 0;
  while (!signal.aborted) {
    const pushed = await fetch(`${url}/v2/default/app/blobs/uploads/`, { method: 'POST', headers });
    const token = await fetch(`${url}/token?service=lading&scope=repository:default/app:pull`, { headers });
    assert.deepEqual([pushed.status, token.status], [202, 200], await token.text());
    done++;
  }
  return done;
}

test('keys are rotated while a server works, through a kill, and then the old one can go', async (t) => {
  const dataDir = makeTestDirectory(t, memoryDirectory);
  const [old, fresh] = [newKey('2025'), newKey('2026')];
  const first = await start(t, dataDir, old);
  await seedConnections(first, old, 10_000);
  assert.equal(await first.stop(), 0);

  const both = await start(t, dataDir, `${fresh},${old}`);
  const stopping = new AbortController();
  const working = work(both, stopping.signal);
  await killAtFirstLine(both);
  const { code, output } = await run(both, '--json');
  stopping.abort();
  assert.ok((await working) > 0);
  assert.equal(code, 0, output);
  const { found, resealed, ...rest } = JSON.parse(output.slice(output.indexOf('{')));
  assert.deepEqual(rest, { keyId: '2026', unreadable: [], left: 0, removable: ['2025'] });
  assert.ok(found < 10_000, `the killed one had left ${found}`);
  assert.equal(resealed, found);

  const again = await run(both);
  assert.deepEqual(
    [again.code, /^Nothing to do.*2026\.\nNext: .*take out 2025/m.test(again.output)],
    [0, true],
    again.output,
  );
  assert.equal(await both.stop(), 0);
  assert.match(await refusal(both, old), /^lading: .*master key "2026", which is not configured/);
  assert.match(await refusal(both, newKey('2026')), /^lading: .*"2026", and does not open with it/);
  const last = await start(t, dataDir, fresh);
  const aborted = new AbortController();
  const tokens = work(last, aborted.signal);
  aborted.abort();
  assert.equal(await tokens, 1);
});

test('the made key is replaced by a new one in its file, and never used before the server has it', async (t) => {
  const dataDir = makeTestDirectory(t, memoryDirectory);
  const path = join(dataDir, 'master-key');
  const first = await start(t, dataDir);
  const added = await run(first, '--new-key', '--json');
  assert.equal(added.code, 0, added.output);
  const { newKeyId, oldKeyId } = JSON.parse(added.output);
  assert.match(readFileSync(path, 'utf8'), new RegExp(`^${newKeyId}:\\S+\n${oldKeyId}:\\S+\n$`));
  assert.equal(statSync(path).mode & 0o777, 0o600);

  const tooEarly = await run(first);
  assert.equal(tooEarly.code, 2, tooEarly.output);
  assert.match(tooEarly.output, new RegExp(`process ${first.child.pid}, started .* "${newKeyId}" .*Restart it`));
  const twice = await run(first, '--new-key');
  assert.deepEqual([twice.code, /holds 2 keys already/.test(twice.output)], [2, true], twice.output);
  assert.equal(await first.stop(), 0);

  const second = await start(t, dataDir);
  const { code, output } = await run(second);
  assert.equal(code, 0, output);
  assert.match(
    output,
    new RegExp(`1 of 1 stored secrets .* ${newKeyId}; 0 are left\\.\nNext: .* take out ${oldKeyId}`),
  );
  assert.equal(await second.stop(), 0);
  writeFileSync(path, `${readFileSync(path, 'utf8').split('\n')[0]}\n`);
  await start(t, dataDir);
});

test('a start without the key that was lost is refused by its id, and makes no other', async (t) => {
  const dataDir = makeTestDirectory(t, memoryDirectory);
  const lading = await start(t, dataDir);
  const path = join(dataDir, 'master-key');
  const [id] = readFileSync(path, 'utf8').split(':');
  assert.equal(await lading.stop(), 0);
  renameSync(path, `${path}.away`);
  assert.match(await refusal(lading), new RegExp(`^lading: .*master key "${id}", which is not configured`));
  assert.equal(existsSync(path), false);
  const { code, output } = await run(lading);
  assert.deepEqual([code, /^lading: There is no master key/.test(output)], [2, true], output);
});

test('a key that only a connection needs is asked for at the start, not at its first use', async (t) => {
  const own = newKey('own');
  const lading = await start(t, makeTestDirectory(t, memoryDirectory), own);
  await seedConnections(lading, newKey('theirs'), 1);
  assert.equal(await lading.stop(), 0);
  assert.match(await refusal(lading, own), /^lading: .*master key "theirs", which is not configured/);
  const { code, output } = await run(lading);
  assert.deepEqual([code, /^lading: .*master key "theirs"/.test(output)], [2, true], output);
});

test('configured keys are the operator’s: no new one is made, and nothing is made where nothing is', async (t) => {
  const lading = await start(t, makeTestDirectory(t, memoryDirectory), newKey('mine'));
  const { code, output } = await run(lading, '--new-key');
  assert.deepEqual([code, /^lading: The master keys are configured/.test(output)], [2, true], output);
  await lading.kill9();
  rmSync(join(lading.dataDir, 'objects'), { recursive: true });
  const gone = await run(lading);
  assert.deepEqual([gone.code, /not the data directory of an installation/.test(gone.output)], [2, true], gone.output);
});

// The newcomer who runs it in another shell was told that nothing was left, and took out the wrong key.
test('beside a server it is refused where the server seals with another key, or has keys that this shell lacks', async (t) => {
  const dataDir = makeTestDirectory(t, memoryDirectory);
  const made = await start(t, dataDir);
  assert.equal(await made.stop(), 0);
  const path = join(dataDir, 'master-key');
  const file = readFileSync(path, 'utf8').trim();
  const fresh = newKey('k9');
  const serving = await start(t, dataDir, `${fresh},${file}`);
  const shell = { ...serving, env: { ...serving.env, LADING_MASTER_KEY: '' } };
  const plain = await run(shell);
  assert.equal(plain.code, 2, plain.output);
  assert.match(
    plain.output,
    /^lading: The server that runs here .* has the master keys "k9", .* the same LADING_MASTER_KEY/,
  );
  const added = await run(shell, '--new-key');
  assert.equal(added.code, 2, added.output);
  assert.match(added.output, /has the master keys "k9", .* not those of .*LADING_MASTER_KEY/);
  assert.equal(readFileSync(path, 'utf8').trim(), file);
  const otherOrder = { ...serving, env: { ...serving.env, LADING_MASTER_KEY: `${file},${fresh}` } };
  const reversed = await run(otherOrder);
  assert.deepEqual(
    [reversed.code, /does not seal with .* but with "k9"\. Restart it/.test(reversed.output)],
    [2, true],
  );
  assert.equal((await run(serving)).code, 0);
});

test('where a key is lost for good, its secrets go once somebody says so, and the server starts', async (t) => {
  const dataDir = makeTestDirectory(t, memoryDirectory);
  const lading = await start(t, dataDir);
  const beside = await run(lading, '--discard-lost', '--yes');
  assert.deepEqual([beside.code, /in use by another lading serve/.test(beside.output)], [2, true], beside.output);
  assert.equal(await lading.stop(), 0);
  const well = await run(lading, '--discard-lost');
  assert.deepEqual([well.code, /^Nothing is lost/.test(well.output)], [0, true], well.output);
  await seedConnections(lading, newKey('theirs'), 2);
  rmSync(join(dataDir, 'master-key'));
  assert.match(await refusal(lading), /--discard-lost/);
  const asked = await run(lading, '--discard-lost');
  assert.equal(asked.code, 2, asked.output);
  assert.match(asked.output, /^ {2}1 keys that sign access tokens, sealed with/m);
  assert.match(asked.output, /^ {2}2 secrets of connections, sealed with "theirs"$/m);
  assert.match(asked.output, /^lading: Nothing was dropped.*--yes/m);
  assert.match(await refusal(lading), /which is not configured/);
  const { code, output } = await run(lading, '--discard-lost', '--yes', '--json');
  assert.equal(code, 0, output);
  assert.equal(JSON.parse(output).dropped, 3);
  await start(t, dataDir);
});

/** At a terminal of its own, which `script` makes, with this typed at the question. */
async function answerAtTerminal({ env }: Lading, answer: string): Promise<{ code: number | null; output: string }> {
  const command = ['-qec', `'${LADING}' rotate-master-key --discard-lost`, '/dev/null'];
  const child = spawn('script', command, { env: { ...env, TERM: 'dumb' }, stdio: 'pipe' });
  let output = '';
  let isAsked = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (isAsked || !output.includes('Type yes')) return;
    isAsked = true;
    child.stdin.write(`${answer}\n`);
  });
  const [code] = await once(child, 'exit');
  return { code, output };
}

test('at a terminal nothing goes for any other word than yes', async (t) => {
  const dataDir = makeTestDirectory(t, memoryDirectory);
  const lading = await start(t, dataDir);
  assert.equal(await lading.stop(), 0);
  rmSync(join(dataDir, 'master-key'));
  for (const word of ['', 'y', 'YES']) {
    const refused = await answerAtTerminal(lading, word);
    assert.deepEqual([refused.code, /Nothing was dropped/.test(refused.output)], [2, true], refused.output);
    assert.match(refused.output, /1 keys that sign access tokens/);
  }
  assert.match(await refusal(lading), /which is not configured/);
  const { code, output } = await answerAtTerminal(lading, 'yes');
  assert.deepEqual([code, /1 stored secrets were dropped/.test(output)], [0, true], output);
  await start(t, dataDir);
});
