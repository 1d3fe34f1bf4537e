import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { type Ledger, openLedger } from '../crash/ledger.ts';
import { pause } from '../servers/child.ts';
import { cleanEnvironment, LADING, type Lading, startLading } from '../servers/lading.ts';
import { makeDatabase, startPostgres } from '../servers/postgres.ts';
import { startS3 } from '../servers/s3.ts';
import { checkAll, seedImages, startClients, untouchedSince } from './clients.ts';

// npm run test:moving -- --images 1000
// Moves an installation from SQLite and disk to Postgres and S3 and back while clients push, delete and collect; kills the
// copy on the way; then makes backups under the same load, kills one, and restores the next. Everything that was
// acknowledged is pulled afterwards and compared.

const { values } = parseArgs({ options: { images: { type: 'string', default: '60' }, keep: { type: 'boolean' } } });
const images = Number(values.images);
if (!Number.isInteger(images) || images < 1)
  throw new Error(`--images ${values.images}: a whole number from 1 is wanted`);

type Environment = Record<string, string>;
/** `env`: what a server on it is started with. `flags`: what copies into it. */
type Home = { name: string; dataDir: string; env: Environment; flags: string[] };
type Summary = {
  isComplete: boolean;
  rows: number;
  objects: { copied: number; copiedBytes: number; kept: number };
  lost: unknown[];
  removed: number;
  changesSince: number;
  serversAtWork: boolean;
  seconds: number;
};

const key = 'ldg_moving_0123456789abcdefghijklmnopqrstuvwxyz';
const masterKey = `moving:${Buffer.alloc(32, 7).toString('base64')}`;
const root = await mkdtemp(join(tmpdir(), 'lading-moving-'));
const postgres = await startPostgres();
const s3 = await startS3();
const credentials = {
  AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
};
const faults: string[] = [];
let checks = 0;
const startedAt = Date.now();

try {
  await main();
} catch (error) {
  faults.push(String((error as Error).stack));
  console.error(error);
} finally {
  await s3.stop();
  await postgres.stop();
  if (values.keep) console.log(`kept: ${root}`);
  else await rm(root, { recursive: true, force: true }).catch(() => {});
}
for (const fault of faults) console.error(fault);
console.log(`${checks} checks in ${Math.round((Date.now() - startedAt) / 1000)} s, faults: ${faults.length}`);
console.log(`${Math.max(0, checks - faults.length)} passed, ${faults.length} failed`);
// Clients may still be at work where something threw.
process.exit(faults.length > 0 ? 1 : 0);

async function main(): Promise<void> {
  const ledger = openLedger();
  const [first, second, third] = [embeddedHome('first'), await remoteHome('second'), embeddedHome('third')];
  const seeding = await serve(first);
  await seedImages(seeding, ledger, images);
  say(`${ledger.pushes} images on ${first.name}`);
  await move(seeding, first, second, ledger);
  const back = await serve(second);
  await move(back, second, third, ledger);
  const last = await serve(third);
  await backUpAndRestore(last, third, ledger);
  await last.stop();
}

function embeddedHome(name: string): Home {
  const dataDir = join(root, name);
  return {
    name: `${name} (SQLite, disk)`,
    dataDir,
    env: {},
    flags: ['--to-database', dataDir, '--to-storage', dataDir],
  };
}

async function remoteHome(name: string): Promise<Home> {
  const database = await makeDatabase(postgres.url);
  const storage = `s3://${await s3.makeBucket()}/moved?endpoint=${s3.endpoint}&region=${s3.region}&path-style=true`;
  return {
    name: `${name} (Postgres, S3)`,
    dataDir: join(root, name),
    env: { LADING_DATABASE_URL: database, LADING_STORAGE_URL: storage },
    flags: ['--to-database', 'env:TARGET_URL', '--to-storage', storage],
  };
}

function serve({ dataDir, env }: Home): Promise<Lading> {
  // The sealed keys of the token service are copied as they are: the same master key opens them everywhere.
  return startLading({ dataDir, key, env: { ...credentials, ...env, LADING_MASTER_KEY: masterKey } });
}

/** As an operator does it, with a copy that is killed in the middle besides. */
async function move(lading: Lading, from: Home, to: Home, ledger: Ledger): Promise<void> {
  const clients = startClients(lading, ledger);
  await killInTheMiddle(from, to);
  const bulk = await copyStore(from, to);
  check(bulk.serversAtWork, 'a server at work is not seen');
  check(bulk.changesSince > 0, 'changes under the copy are not seen');
  faults.push(...(await clients.stop()));
  check((await lading.stop()) === 0, 'the server did not stop well');
  const rest = await copyStore(from, to);
  check(!rest.serversAtWork && rest.changesSince === 0, `a stopped source is said to change: ${JSON.stringify(rest)}`);
  check(bulk.lost.length + rest.lost.length === 0, `objects are lost: ${JSON.stringify([bulk, rest])}`);
  await verify(to);
  const moved = await serve(to);
  await checkEverything(moved, ledger, to.name);
  await moved.stop();
  // An old command line, run once more by mistake.
  const { code, output } = await run(from.env, from.dataDir, targetUrl(to), ['copy-store', ...to.flags]);
  check(code === 2 && /on which a server has run/.test(output), `a served copy is overwritten: ${code} ${output}`);
}

async function backUpAndRestore(lading: Lading, home: Home, ledger: Ledger): Promise<void> {
  const backup = join(root, 'backup');
  const clients = startClients(lading, ledger);
  await killAfterBeginning(start(home.env, home.dataDir, {}, ['backup', backup]), {
    ...home,
    dataDir: backup,
    env: {},
  });
  await runJson(home, {}, ['backup', backup]);
  await pause(2_000);
  const earlier = structuredClone(ledger);
  const summary = await runJson(home, {}, ['backup', backup]);
  report('backup under pushes and collections', summary);
  faults.push(...(await clients.stop()));
  const untouched = untouchedSince(earlier, ledger);
  await verify({ name: 'the backup', dataDir: backup, env: {}, flags: [] });
  for (const restored of [embeddedHome('restored'), await remoteHome('restored elsewhere')]) {
    report(`restore to ${restored.name}`, await runJson(restored, {}, ['restore', backup]));
    await verify(restored);
    const server = await serve(restored);
    await checkEverything(server, structuredClone(untouched), restored.name);
    await server.stop();
  }
}

async function copyStore(from: Home, to: Home): Promise<Summary> {
  const summary = await runJson(from, targetUrl(to), ['copy-store', ...to.flags]);
  report(`${from.name} → ${to.name}`, summary);
  return summary;
}

function targetUrl({ env }: Home): Environment {
  return env.LADING_DATABASE_URL ? { TARGET_URL: env.LADING_DATABASE_URL } : {};
}

function report(what: string, { rows, objects, removed, changesSince, seconds }: Summary): void {
  const { copied, copiedBytes, kept } = objects;
  say(
    `${what}: ${seconds} s, ${rows} rows, ${copied} objects copied (${(copiedBytes / 1e6).toFixed(1)} MB), ${kept} kept, ${removed} removed, ${changesSince} changes since`,
  );
}

async function killInTheMiddle(from: Home, to: Home): Promise<void> {
  const child = start(from.env, from.dataDir, targetUrl(to), ['copy-store', ...to.flags]);
  if (!(await killAfterBeginning(child, to))) return;
  const { code, output } = await run(to.env, to.dataDir, {}, ['serve']);
  check(code === 2 && /unfinished copy/.test(output), `a server starts on an unfinished copy: ${code} ${output}`);
}

/** False if it came to its end before. */
async function killAfterBeginning(child: ChildProcess, to: Home): Promise<boolean> {
  const closed = once(child, 'close');
  while (child.exitCode === null && !(await hasBegun(to))) await pause(20);
  await Promise.race([closed, pause(randomInt(1_500))]);
  const isKilled = child.kill('SIGKILL');
  await closed;
  say(isKilled ? 'killed a copy in the middle' : 'a copy was too quick to be killed');
  return isKilled;
}

async function hasBegun({ dataDir, env }: Home): Promise<boolean> {
  if (!env.LADING_DATABASE_URL) return existsSync(join(dataDir, 'unfinished-copy', 'lading.db'));
  const client = new pg.Client({ connectionString: env.LADING_DATABASE_URL });
  await client.connect();
  try {
    return (await client.query('select run from installations where run is not null')).rows.length > 0;
  } catch {
    return false;
  } finally {
    await client.end();
  }
}

async function runJson(home: Home, more: Environment, args: string[]): Promise<Summary> {
  const { code, output, stdout } = await run(home.env, home.dataDir, more, [...args, '--json']);
  check(code === 0, `lading ${args[0]} ended with ${code}: ${output}`);
  return JSON.parse(stdout) as Summary;
}

async function verify({ name, dataDir, env }: Home): Promise<void> {
  const { code, output } = await run(env, dataDir, {}, ['verify', '--deep']);
  check(code === 0, `verify of ${name}: ${code} ${output}`);
  say(`verify --deep of ${name}: ${output.trim().split('\n').join(' ')}`);
}

async function checkEverything(lading: Lading, ledger: Ledger, name: string): Promise<void> {
  const found = await checkAll(lading, ledger);
  checks += ledger.blobs.size + ledger.manifests.size + ledger.tags.size;
  faults.push(...found.map((fault) => `${name}: ${fault}`));
  say(
    `pulled from ${name}: ${ledger.blobs.size} blobs, ${ledger.manifests.size} manifests, ${ledger.tags.size} tags; faults: ${found.length}`,
  );
}

function start(env: Environment, dataDir: string, more: Environment, args: string[]): ChildProcess {
  const all = {
    ...cleanEnvironment(),
    ...credentials,
    ...env,
    ...more,
    LADING_DATA_DIR: dataDir,
    LADING_MASTER_KEY: masterKey,
  };
  return spawn(LADING, args, { env: all, stdio: ['ignore', 'pipe', 'pipe'] });
}

async function run(env: Environment, dataDir: string, more: Environment, args: string[]) {
  const child = start(env, dataDir, more, args);
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  return { code: code as number | null, stdout, output: `${stdout}${stderr}` };
}

function check(isRight: boolean, fault: string): void {
  checks += 1;
  if (!isRight) faults.push(fault);
}

function say(text: string): void {
  console.log(`${String(Math.round((Date.now() - startedAt) / 1000)).padStart(4)} s  ${text}`);
}
