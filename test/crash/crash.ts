import { execFile } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { pause } from '../servers/child.ts';
import { LADING } from '../servers/lading.ts';
import { checkBlobs, checkManifests, checkSessions, checkSome, checkTags, type Reader } from './audit.ts';
import { bearer, collectToTheEnd, keepCollecting, keepDeleting, waitForCollection } from './collecting.ts';
import { type Ledger, openLedger } from './ledger.ts';
import { type Client, isRefusal, pushImage } from './push.ts';
import { openReplicated } from './replicated.ts';
import { findLastingFaults, findStoreFaults, settle } from './store.ts';
import { openSingle, type Target } from './target.ts';

// npm run test:crash -- --kills 200
// Kills the server with SIGKILL at random moments while clients push, starts it again, and compares all that was ever
// acknowledged with what is there. With --collect images are deleted and garbage is collected meanwhile, and the kill comes
// while a collection runs. With --replicas 3 it is replicas on Postgres and S3 behind a load balancer, of which one or more
// are killed, and clients go on. SIGTERM ends it early, after the round that runs.

const CLIENTS = 10;
const REPOSITORIES = ['default/crash/a', 'default/crash/b', 'default/crash/c'];
const SHARED = 'default/crash/shared';
/** Between the first request of a round and the kill: from "hardly begun" to "many pushes done". */
const KILL_AFTER_MS = { min: 5, max: 2_000 };
/** How long clients go on without the killed ones, where there are others, and then with all of them. */
const GO_ON_MS = { min: 50, max: 1_500 };
const RECHECKED_EACH_ROUND = 60;

type Run = { target: Target; ledger: Ledger; faults: string[]; round: number; killedCollections: number };

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '10' },
    replicas: { type: 'string', default: '1' },
    keep: { type: 'boolean' },
    collect: { type: 'boolean' },
  },
});
const kills = Number(values.kills);
if (!Number.isInteger(kills) || kills < 1) throw new Error(`--kills ${values.kills}: a whole number from 1 is wanted`);
const replicas = Number(values.replicas);
if (!Number.isInteger(replicas) || replicas < 1) throw new Error(`--replicas ${values.replicas}: a whole number`);

const run: Run = {
  target:
    replicas > 1 ? await openReplicated(replicas) : await openSingle(`ldg_crash_${randomBytes(24).toString('hex')}`),
  ledger: openLedger(),
  faults: [],
  round: 0,
  killedCollections: 0,
};
const startedAt = Date.now();
let broken = 0;
const ending = new AbortController();
process.once('SIGTERM', () => ending.abort());
for (run.round = 1; run.round <= kills && !ending.signal.aborted; run.round += 1) {
  const before = run.faults.length;
  await killOnce(run);
  if (run.faults.length > before) broken += 1;
  for (const fault of run.faults.slice(before)) console.error(`kill ${run.round}: ${fault}`);
  if (run.round % 10 === 0) console.log(`${run.round} kills, ${run.ledger.acknowledgements} requests acknowledged`);
}
const atTheEnd = await checkAtTheEnd(run);
for (const fault of atTheEnd) console.error(`at the end: ${fault}`);
report([...run.faults, ...atTheEnd]);
const kept = await run.target.remove(values.keep ?? false);
if (kept !== undefined) console.log(`data directory kept: ${kept}`);
process.exitCode = broken + atTheEnd.length > 0 ? 1 : 0;

/** One round: start, compare with the ledger, push, kill. */
async function killOnce(run: Run): Promise<void> {
  const { target } = run;
  await target.start();
  run.faults.push(...(await checkSessions(readerOf(target), run.ledger)));
  run.faults.push(...(await checkSome(readerOf(run.target), run.ledger, RECHECKED_EACH_ROUND)));
  const stopping = new AbortController();
  const clients = Array.from({ length: CLIENTS }, (_, i) => keepPushing(run, i, stopping.signal));
  const others = values.collect ? collectBesides(run, stopping.signal) : [];
  await pause(randomInt(KILL_AFTER_MS.min, KILL_AFTER_MS.max));
  if (values.collect) await waitForCollection(target.isCollecting, 5_000);
  await target.kill();
  if (await target.isCollecting()) run.killedCollections += 1;
  if (target.servesOn) {
    await pause(randomInt(GO_ON_MS.min, GO_ON_MS.max));
    await target.start();
    await pause(randomInt(GO_ON_MS.min, GO_ON_MS.max));
  }
  stopping.abort();
  await Promise.all(clients);
  run.faults.push(...(await Promise.all(others)).flat());
  // An object whose row is missing now will never be found again by the server itself: look before it starts.
  run.faults.push(...(target.servesOn ? await findLastingFaults(target.readStore) : await findFaultsNow(target)));
}

async function findFaultsNow({ readStore }: Target): Promise<string[]> {
  return findStoreFaults(await readStore()).filter((fault) => !fault.includes('still being written'));
}

/**
 * What a client is, beside what it keeps. One that goes on over a kill ends each request it has begun: an answer that it
 * does not wait for could otherwise come true after the ledger was compared.
 */
function clientOf({ target, ledger }: Run, stopping: AbortSignal): Client & { stopping: AbortSignal } {
  const isBalanced = target.servesOn;
  const signal = isBalanced ? new AbortController().signal : stopping;
  const authorization = basic(target.key);
  return { url: target.url(), authorization, signal, stopping, ledger, isBalanced, hasLargeLayers: isBalanced };
}

function collectBesides(run: Run, stopping: AbortSignal): Promise<string[]>[] {
  const client = clientOf(run, stopping);
  return [keepDeleting(client), keepCollecting({ ...client, authorization: bearer(run.target.key) })];
}

async function keepPushing(run: Run, index: number, stopping: AbortSignal): Promise<void> {
  const client = clientOf(run, stopping);
  // Clients share repositories, so that they meet in locks and counts, but no two share a tag.
  const repository = `${REPOSITORIES[index % REPOSITORIES.length]}`;
  for (let push = 0; !stopping.aborted; push += 1) {
    try {
      await pushImage(client, repository, SHARED, `k${run.round}-c${index}-p${push}`, `moving-${index}`);
    } catch (error) {
      if (isRefusal(error)) run.faults.push(String(error));
      // Else the connection broke: that was the kill.
      else if (!run.target.servesOn) return;
      else await pause(50);
    }
  }
}

/** Everything, once: each blob, manifest and tag, the store at rest, and what `lading verify` says. */
async function checkAtTheEnd({ target, ledger }: Run): Promise<string[]> {
  await target.start();
  const reader = readerOf(target);
  const signal = new AbortController().signal;
  const asking = { url: target.url(), authorization: bearer(target.key), signal, stopping: signal };
  const faults = [
    await checkSessions(reader, ledger),
    values.collect ? await collectToTheEnd(asking) : [],
    await checkBlobs(reader, [...ledger.blobs.keys()], ledger),
    await checkManifests(reader, [...ledger.manifests.keys()], ledger),
    await checkTags(reader, [...ledger.tags.keys()], ledger),
  ].flat();
  await target.abandonWriters();
  faults.push(...(await settle(target.readStore)), ...(await target.stop()));
  return [...faults, ...(await verify(target.verifyEnvironment()))];
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
  console.log(run.target.describe());
  const done = run.round - 1;
  console.log(`kills: ${done}, clients: ${CLIENTS}, seconds: ${seconds}`);
  console.log(`whole images acknowledged: ${ledger.pushes}`);
  console.log(`requests acknowledged: ${ledger.acknowledgements}`);
  console.log(`blobs: ${count(ledger.blobs.values())} acknowledged, ${ledger.blobs.size} begun`);
  const manifests = [...ledger.manifests.values()].map((entry) => entry.isAcknowledged);
  console.log(`manifests: ${count(manifests)} acknowledged, ${manifests.length} begun; tags: ${ledger.tags.size}`);
  if (replicas > 1) console.log(`answers 503: ${ledger.busy}, asked twice by the load balancer: ${ledger.repeated}`);
  if (values.collect) console.log(`kills while a collection ran: ${run.killedCollections}`);
  console.log(`lost: ${lost}, other faults: ${faults.length - lost}`);
  console.log(`${done - broken} passed, ${broken + (atTheEnd.length > 0 ? 1 : 0)} failed`);
}

function readerOf({ url, key }: Target): Reader {
  return { url: url(), authorization: basic(key) };
}

function basic(key: string): string {
  return `Basic ${Buffer.from(`crash:${key}`).toString('base64')}`;
}
