import { execFile } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pause } from '../servers/child.ts';
import { LADING, type Lading, startLading } from '../servers/lading.ts';
import { checkBlobs, checkManifests, checkSessions, checkTags, type Reader } from './audit.ts';
import {
  bearer,
  collectToTheEnd,
  isCollecting,
  keepCollecting,
  keepDeleting,
  waitForCollection,
} from './collecting.ts';
import { type Ledger, openLedger } from './ledger.ts';
import { type Client, isRefusal, pushImage } from './push.ts';
import { findStoreFaults, readStore, settle } from './store.ts';

// npm run test:crash -- --kills 200
// Kills the server with SIGKILL at random moments while clients push, starts it again, and compares all that was ever
// acknowledged with what is there. With --collect images are deleted and garbage is collected meanwhile, and the kill comes
// while a collection runs.

const CLIENTS = 10;
const REPOSITORIES = ['default/crash/a', 'default/crash/b', 'default/crash/c'];
const SHARED = 'default/crash/shared';
/** Between the first request of a round and the kill: from "hardly begun" to "many pushes done". */
const KILL_AFTER_MS = { min: 5, max: 2_000 };
const RECHECKED_EACH_ROUND = 60;

type Run = { dataDir: string; key: string; ledger: Ledger; faults: string[]; round: number; killedCollections: number };

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '10' }, keep: { type: 'boolean' }, collect: { type: 'boolean' } },
});
const kills = Number(values.kills);
if (!Number.isInteger(kills) || kills < 1) throw new Error(`--kills ${values.kills}: a whole number from 1 is wanted`);

const run: Run = {
  dataDir: await mkdtemp(join(tmpdir(), 'lading-crash-')),
  key: `ldg_crash_${randomBytes(24).toString('hex')}`,
  ledger: openLedger(),
  faults: [],
  round: 0,
  killedCollections: 0,
};
const startedAt = Date.now();
let broken = 0;
for (run.round = 1; run.round <= kills; run.round += 1) {
  const before = run.faults.length;
  await killOnce(run);
  if (run.faults.length > before) broken += 1;
  for (const fault of run.faults.slice(before)) console.error(`kill ${run.round}: ${fault}`);
}
const atTheEnd = await checkAtTheEnd(run);
for (const fault of atTheEnd) console.error(`at the end: ${fault}`);
report([...run.faults, ...atTheEnd]);
if (values.keep) console.log(`data directory kept: ${run.dataDir}`);
else await rm(run.dataDir, { recursive: true, force: true });
process.exitCode = broken + atTheEnd.length > 0 ? 1 : 0;

/** One round: start, compare with the ledger, push, kill. */
async function killOnce(run: Run): Promise<void> {
  const lading = await startLading({ dataDir: run.dataDir, key: run.key });
  run.faults.push(...(await checkSessions(readerOf(lading, run.key), run.ledger)));
  run.faults.push(...(await checkSome(run, lading)));
  const stopping = new AbortController();
  const clients = Array.from({ length: CLIENTS }, (_, i) => keepPushing(run, lading, i, stopping.signal));
  const others = values.collect ? collectBesides(run, lading, stopping.signal) : [];
  await pause(randomInt(KILL_AFTER_MS.min, KILL_AFTER_MS.max));
  if (values.collect) await waitForCollection(run.dataDir, 5_000);
  await lading.kill9();
  stopping.abort();
  await Promise.all(clients);
  run.faults.push(...(await Promise.all(others)).flat());
  if (isCollecting(run.dataDir)) run.killedCollections += 1;
  // A file whose row is missing now will never be found again by the server itself: look before it starts.
  const state = await readStore(run.dataDir);
  run.faults.push(...findStoreFaults(state).filter((fault) => !fault.includes('still being written')));
}

function collectBesides(run: Run, lading: Lading, signal: AbortSignal): Promise<string[]>[] {
  const { url } = lading;
  return [
    keepDeleting({ url, authorization: basic(run.key), signal, ledger: run.ledger }),
    keepCollecting({ url, authorization: bearer(run.key), signal }),
  ];
}

async function keepPushing(run: Run, lading: Lading, index: number, signal: AbortSignal): Promise<void> {
  const client: Client = { url: lading.url, authorization: basic(run.key), signal, ledger: run.ledger };
  // Clients share repositories, so that they meet in locks and counts, but no two share a tag.
  const repository = `${REPOSITORIES[index % REPOSITORIES.length]}`;
  for (let push = 0; !signal.aborted; push += 1) {
    try {
      await pushImage(client, repository, SHARED, `k${run.round}-c${index}-p${push}`, `moving-${index}`);
    } catch (error) {
      if (isRefusal(error)) run.faults.push(String(error));
      else return; // the connection broke: that was the kill
    }
  }
}

/** All that the last rounds touched would be too much to read each time: the newest, and some of all the others. */
async function checkSome(run: Run, lading: Lading): Promise<string[]> {
  const { ledger } = run;
  const reader = readerOf(lading, run.key);
  const pick = (ids: Iterable<string>) => {
    const all = [...ids];
    const newest = all.slice(-RECHECKED_EACH_ROUND);
    const others = Array.from({ length: RECHECKED_EACH_ROUND / 2 }, () => all[randomInt(Math.max(1, all.length))]);
    return [...new Set([...newest, ...others.filter((id) => id !== undefined)])];
  };
  // A tag that may name several things has to be looked at before it moves again.
  const undecided = [...ledger.tags].filter(([, possible]) => possible.size > 1).map(([id]) => id);
  const faults = [
    await checkBlobs(reader, pick(ledger.blobs.keys()), ledger),
    await checkManifests(reader, pick(ledger.manifests.keys()), ledger),
    await checkTags(reader, [...undecided, ...pick(ledger.tags.keys())], ledger),
  ];
  return faults.flat();
}

/** Everything, once: each blob, manifest and tag, the store at rest, and what `lading verify` says. */
async function checkAtTheEnd(run: Run): Promise<string[]> {
  const { ledger } = run;
  const lading = await startLading({ dataDir: run.dataDir, key: run.key });
  const reader = readerOf(lading, run.key);
  const signal = new AbortController().signal;
  const faults = [
    await checkSessions(reader, ledger),
    values.collect ? await collectToTheEnd({ url: lading.url, authorization: bearer(run.key), signal }) : [],
    await checkBlobs(reader, [...ledger.blobs.keys()], ledger),
    await checkManifests(reader, [...ledger.manifests.keys()], ledger),
    await checkTags(reader, [...ledger.tags.keys()], ledger),
    await settle(run.dataDir),
  ].flat();
  const code = await lading.stop();
  if (code !== 0) faults.push(`the server ended with ${code}: ${lading.child.output()}`);
  return [...faults, ...(await verify(lading.env))];
}

function verify(env: NodeJS.ProcessEnv): Promise<string[]> {
  return new Promise((resolve) => {
    execFile(LADING, ['verify', '--deep'], { env }, (error, stdout, stderr) =>
      resolve(error ? [`lading verify: ${error.code}\n${stdout}${stderr}`] : []),
    );
  });
}

function report(faults: string[]): void {
  const { ledger } = run;
  const lost = faults.filter((fault) => fault.startsWith('LOST')).length;
  const count = (values: Iterable<boolean>) => [...values].filter(Boolean).length;
  const seconds = Math.round((Date.now() - startedAt) / 1000);
  console.log(`kills: ${kills}, clients: ${CLIENTS}, seconds: ${seconds}`);
  console.log(`whole images acknowledged: ${ledger.pushes}`);
  console.log(`requests acknowledged: ${ledger.acknowledgements}`);
  console.log(`blobs: ${count(ledger.blobs.values())} acknowledged, ${ledger.blobs.size} begun`);
  const manifests = [...ledger.manifests.values()].map((entry) => entry.isAcknowledged);
  console.log(`manifests: ${count(manifests)} acknowledged, ${manifests.length} begun; tags: ${ledger.tags.size}`);
  if (values.collect) console.log(`kills while a collection ran: ${run.killedCollections}`);
  console.log(`lost: ${lost}, other faults: ${faults.length - lost}`);
  console.log(`${kills - broken} passed, ${broken + (atTheEnd.length > 0 ? 1 : 0)} failed`);
}

function readerOf({ url }: Lading, key: string): Reader {
  return { url, authorization: basic(key) };
}

function basic(key: string): string {
  return `Basic ${Buffer.from(`crash:${key}`).toString('base64')}`;
}
