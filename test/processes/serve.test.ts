import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { openDatabase } from '#database/open-database.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { type Child, findFreePort, watch } from '#test/servers/child.ts';
import { cleanEnvironment, LADING, type Lading, startLading } from '#test/servers/lading.ts';

// These start the real `bin/lading`: what an operator sees is what the process prints and how it ends.

function run(args: string[], env: Record<string, string> = {}): Child {
  return watch(
    spawn(LADING, args, { env: { ...cleanEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] }),
    LADING,
  );
}

/** Waits for a start that fails: its one sentence. */
async function refusal(env: Record<string, string>): Promise<string> {
  const child = run(['serve'], { LADING_LISTEN: '127.0.0.1:0', ...env });
  assert.equal(await child.exited, 2, child.output());
  const output = child.output().trimEnd();
  assert.doesNotMatch(output, /\n\s+at /, 'a refusal is a sentence, not a stack');
  return output;
}

async function start(t: Scope, dataDir: string, env: Record<string, string> = {}): Promise<Lading> {
  const lading = await startLading({ dataDir, env });
  t.after(() => lading.kill9());
  return lading;
}

test('an unknown setting stops the start and all faults are named', async () => {
  const output = await refusal({ LADING_DATADIR: '/tmp', LADING_LOG_LEVEL: 'loud' });
  assert.match(output, /LADING_DATADIR is not a setting. Did you mean LADING_DATA_DIR\?/);
  assert.match(output, /LADING_LOG_LEVEL: "loud" is none of debug, info, warn, error/);
});

test('a data directory that is a file is refused by name', async (t) => {
  const path = join(makeTestDirectory(t), 'data');
  writeFileSync(path, '');
  for (const dataDir of [path, join(path, 'below')]) {
    assert.match(
      await refusal({ LADING_DATA_DIR: dataDir }),
      /^lading: The data directory .*data.* cannot be .*not a directory/,
    );
  }
});

test('a data directory that this user may not read is refused by name', (t) => {
  const dataDir = join(makeTestDirectory(t), 'data');
  mkdirSync(dataDir, { mode: 0 });
  chmodSync(join(dataDir, '..'), 0o755);
  // Root may read everything, so the process becomes another user's once it has loaded its code.
  const script = `
    const { serve } = await import(${JSON.stringify(import.meta.resolve('#server/commands/serve.ts'))});
    if (process.getuid() === 0) process.setuid(65534);
    await serve({ LADING_DATA_DIR: ${JSON.stringify(dataDir)} }).catch((error) => console.log(error.message));`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.match(output, /data \(LADING_DATA_DIR\) cannot be used\. This user may not read and write it/);
});

test('a database of a newer release is refused, and told apart from a broken one', async (t) => {
  const dataDir = makeTestDirectory(t);
  const { db, close } = await openDatabase({ dataDir });
  const migrations = db.withTables<{ schema_migrations: { number: number; name: string; applied_at: number } }>();
  await migrations.insertInto('schema_migrations').values({ number: 9999, name: 'x', applied_at: 0 }).execute();
  await close();
  assert.match(await refusal({ LADING_DATA_DIR: dataDir }), /schema version 9999, made by a newer release/);
});

test('a port that is taken is named', async (t) => {
  const lading = await start(t, makeTestDirectory(t));
  const output = await refusal({ LADING_DATA_DIR: makeTestDirectory(t), LADING_LISTEN: lading.host });
  assert.match(output, /Cannot listen on 127\.0\.0\.1 port \d+ \(LADING_LISTEN\)\. Another program listens there/);
});

test('a certificate that is none is named', async (t) => {
  const dataDir = makeTestDirectory(t);
  const pem = join(dataDir, 'x.pem');
  const missing = join(dataDir, 'missing.pem');
  writeFileSync(pem, 'nonsense');
  assert.match(
    await refusal({ LADING_DATA_DIR: dataDir, LADING_TLS_CERT: pem, LADING_TLS_KEY: missing }),
    /LADING_TLS_KEY.*missing\.pem/,
  );
  assert.match(
    await refusal({ LADING_DATA_DIR: dataDir, LADING_TLS_CERT: pem, LADING_TLS_KEY: pem }),
    /LADING_TLS_CERT/,
  );
});

test('a second process on a data directory says who holds it; a killed one holds nothing', async (t) => {
  const dataDir = makeTestDirectory(t);
  const first = await start(t, dataDir);
  const output = await refusal({ LADING_DATA_DIR: dataDir });
  assert.match(output, new RegExp(`in use by another lading serve \\(process ${first.child.pid}, started 20`));
  await first.kill9();
  const second = await start(t, dataDir);
  assert.equal(await second.stop(), 0);
});

test('the first start makes a key that works, and only names its file to what is no terminal', async (t) => {
  const dataDir = makeTestDirectory(t);
  const env = { LADING_BOOTSTRAP_KEY: '', LADING_LOG_LEVEL: 'info' };
  const first = await start(t, dataDir, env);
  const keyFile = join(dataDir, 'bootstrap-key');
  const key = readFileSync(keyFile, 'utf8').trim();
  assert.equal(statSync(keyFile).mode & 0o777, 0o600);
  const authorization = `Basic ${Buffer.from(`owner:${key}`).toString('base64')}`;
  assert.equal((await fetch(`${first.url}/v2/`, { headers: { authorization } })).status, 200);
  assert.match(first.child.output(), new RegExp(`cat ${keyFile} \\| docker login ${first.host} `));
  assert.match(first.child.output(), new RegExp(`docker push ${first.host}/default/`));
  assert.equal(await first.stop(), 0);
  assert.ok(!first.child.output().includes(key), 'the key is in the output');

  const second = await start(t, dataDir, env);
  assert.doesNotMatch(second.child.output(), /docker login/);
  assert.equal(readFileSync(keyFile, 'utf8').trim(), key);
});

test('a key that was given is used, and neither printed nor written', async (t) => {
  const dataDir = makeTestDirectory(t);
  const lading = await start(t, dataDir, { LADING_LOG_LEVEL: 'info' });
  const headers = { authorization: `Bearer ${lading.key}` };
  assert.equal((await fetch(`${lading.url}/v2/`, { headers })).status, 200);
  assert.equal(existsSync(join(dataDir, 'bootstrap-key')), false);
  assert.equal(existsSync(join(dataDir, 'bootstrap-key.new')), false);
  await lading.stop();
  assert.ok(!lading.child.output().includes(lading.key));
});

// Who opens such a connection holds nothing back: its answer decides whether the bytes were kept.
test('SIGTERM lets an upload in flight finish, takes nothing new and ends with 0', async (t) => {
  const lading = await start(t, makeTestDirectory(t), { LADING_LOG_LEVEL: 'info' });
  const headers = { authorization: `Bearer ${lading.key}` };
  const session = await fetch(`${lading.url}/v2/default/app/blobs/uploads/`, { method: 'POST', headers });
  const upload = request(`${lading.url}${session.headers.get('location')}`, { method: 'PATCH', headers });
  upload.write('first half, ');
  await seen(lading.child, () => isWriting(lading));

  const stopped = lading.child.stop('SIGTERM');
  await seen(lading.child, () => lading.child.output().includes('stopping'));
  const another = request(`${lading.url}/healthz`, { agent: false }).end();
  await assert.rejects(once(another, 'response'), { code: 'ECONNREFUSED' }, 'a new connection was taken');
  upload.end('second half');
  const [answer] = await once(upload, 'response');
  assert.equal(answer.statusCode, 202);
  assert.equal(answer.headers.range, '0-22');
  assert.equal(await stopped, 0);
});

test('a connection that was taken just before SIGTERM gets the answer to its first request', async (t) => {
  const lading = await start(t, makeTestDirectory(t), { LADING_LOG_LEVEL: 'info' });
  const socket = connect(Number(new URL(lading.url).port), '127.0.0.1');
  await once(socket, 'connect');
  await fetch(`${lading.url}/healthz`); // taken after the other: that one has been taken
  const stopped = lading.child.stop('SIGTERM');
  await seen(lading.child, () => lading.child.output().includes('stopping'));
  socket.write('GET /healthz HTTP/1.1\r\nHost: registry\r\n\r\n');
  const answer = await text(socket);
  assert.match(answer, /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is);
  assert.equal(await stopped, 0);
});

test('with LADING_SHUTDOWN_DELAY everything is served for a while after SIGTERM, and no connection outlives an answer', async (t) => {
  const env = { LADING_LOG_LEVEL: 'info', LADING_SHUTDOWN_DELAY: '2s' };
  const lading = await start(t, makeTestDirectory(t), env);
  const headers = { authorization: `Bearer ${lading.key}` };
  const asked = performance.now();
  const stopped = lading.child.stop('SIGTERM');
  await seen(lading.child, () => lading.child.output().includes('not ready any more'));
  const ready = await fetch(`${lading.url}/readyz`);
  assert.equal(ready.status, 503);
  assert.match(await ready.text(), /"draining"/);
  const session = await fetch(`${lading.url}/v2/default/app/blobs/uploads/`, { method: 'POST', headers });
  assert.deepEqual([session.status, session.headers.get('connection')], [202, 'close']);
  assert.equal(await stopped, 0);
  assert.ok(performance.now() - asked >= 2000);
});

test('what is in flight longer than LADING_SHUTDOWN_TIMEOUT is cut off', async (t) => {
  const env = { LADING_LOG_LEVEL: 'info', LADING_SHUTDOWN_TIMEOUT: '1s' };
  const lading = await start(t, makeTestDirectory(t), env);
  const headers = { authorization: `Bearer ${lading.key}` };
  const session = await fetch(`${lading.url}/v2/default/app/blobs/uploads/`, { method: 'POST', headers });
  const upload = request(`${lading.url}${session.headers.get('location')}`, { method: 'PATCH', headers });
  const cut = once(upload, 'error');
  upload.write('never ended');
  await seen(lading.child, () => isWriting(lading));
  assert.equal(await lading.child.stop('SIGTERM'), 0);
  await cut;
  assert.match(lading.child.output(), /requests were still running after 1 s and are cut off/);
});

test('a second signal ends the process at once, but not one that is the echo of the first', async (t) => {
  const lading = await start(t, makeTestDirectory(t), { LADING_LOG_LEVEL: 'info' });
  const headers = { authorization: `Bearer ${lading.key}` };
  const session = await fetch(`${lading.url}/v2/default/app/blobs/uploads/`, { method: 'POST', headers });
  const upload = request(`${lading.url}${session.headers.get('location')}`, { method: 'PATCH', headers });
  upload.on('error', () => {});
  upload.write('never ended');
  await seen(lading.child, () => isWriting(lading));
  process.kill(lading.child.pid, 'SIGTERM');
  await seen(lading.child, () => lading.child.output().includes('stopping'));
  process.kill(lading.child.pid, 'SIGINT');
  const asked = performance.now();
  await seen(lading.child, () => performance.now() - asked > 1100);
  process.kill(lading.child.pid, 'SIGINT');
  assert.equal(await lading.child.exited, 1);
});

test('with a certificate HTTPS is spoken and the realm says so', async (t) => {
  const dataDir = makeTestDirectory(t);
  const [cert, key] = [join(dataDir, 'cert.pem'), join(dataDir, 'key.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      ...subject,
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  );
  const port = await findFreePort();
  const env = {
    LADING_DATA_DIR: dataDir,
    LADING_LISTEN: `127.0.0.1:${port}`,
    LADING_TLS_CERT: cert,
    LADING_TLS_KEY: key,
  };
  const child = run(['serve'], env);
  t.after(() => child.stop('SIGKILL'));
  await seen(child, () => child.output().includes('lading serves'));
  const script = `const r = await fetch('https://127.0.0.1:${port}/v2/'); console.log(r.headers.get('www-authenticate'));`;
  const challenge = execFileSync(process.execPath, ['-e', script], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: cert },
    encoding: 'utf8',
  });
  assert.match(challenge, new RegExp(`realm="https://127\\.0\\.0\\.1:${port}/token"`));
});

const sentences: readonly [string[], number, RegExp][] = [
  [['--version'], 0, /^\d+\.\d+\.\d+$/],
  [[], 0, /lading serve/],
  [['help', 'config'], 0, /^bin\/lading config \[--json\]\n/],
  [['verify', '--help'], 0, /--repair {2}correct counters; mark blobs whose bytes are gone/],
  [['serv'], 2, /"serv" is not a command\. Did you mean bin\/lading serve\?$/],
  [['publish'], 2, /"publish" is not a command\. bin\/lading --help says what there is\.$/],
  [['serve', '--json'], 2, /--json is not an option of lading serve/],
  [['serve', 'here'], 2, /lading serve does not take "here"/],
  [['serve', '--port', '80'], 2, /--port is not an option of lading serve\. .*: set LADING_LISTEN\.$/],
  [['serve', '--log-level=debug'], 2, /: set LADING_LOG_LEVEL\.$/],
  [['verify', '--deap'], 2, /Did you mean --deep\?$/],
  [['verify', '--json=yes'], 2, /--json takes no value/],
  [['config', '--quiet'], 2, /--quiet is not an option of lading config\. bin\/lading config --help says/],
];
for (const [args, code, expected] of sentences) {
  test(`lading ${args.join(' ')} ends with ${code}`, async () => {
    const child = run(args);
    assert.equal(await child.exited, code);
    assert.match(child.output().trim(), expected);
  });
}

test('no line of any help is wider than a terminal', async () => {
  const commands = [
    'serve',
    'config',
    'health',
    'verify',
    'rotate-master-key',
    'new-key',
    'copy-store',
    'backup',
    'restore',
  ];
  for (const args of [['--help'], ...commands.map((command) => [command, '--help'])]) {
    const child = run(args);
    assert.equal(await child.exited, 0);
    for (const line of child.output().split('\n')) assert.ok([...line].length <= 80, line);
  }
});

/** The bytes of the upload have reached the store: its request is in flight beyond doubt. */
function isWriting({ dataDir }: Lading): boolean {
  return execFileSync('find', [join(dataDir, 'objects'), '-name', '*.part'], { encoding: 'utf8' }) !== '';
}

async function seen(child: Child, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline && child.isRunning(), child.output());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
