import { execFile } from 'node:child_process';
import { parseArgs } from 'node:util';
import { checkBlobs, checkManifests, checkSessions, checkSome, checkTags, type Reader } from '../crash/audit.ts';
import { type Ledger, openLedger } from '../crash/ledger.ts';
import { makeTestDirectory, type Scope } from '../database.ts';
import { pause } from '../servers/child.ts';
import { cleanEnvironment, LADING } from '../servers/lading.ts';
import { faults as catalog, type Fault } from './catalog.ts';
import { startClients } from './clients.ts';
import { findRecovery, watchReadiness } from './recovery.ts';
import { bringToRest } from './rest.ts';
import { addRound, newRow, type Round, type Row, toTable } from './table.ts';
import { openWorld, type World } from './world.ts';

// npm run test:faults -- [--fault s3-gone,bucket-full] [--rounds 3] [--seconds 5]
// Lets replicas, PostgreSQL and S3 fail while clients push and pull through the load balancer, and compares all that was
// ever acknowledged with what is there. `--seconds` is how long each fault lasts at most.

const warmMs = 1_500;
const calmMs = 2_000;
const recheckedEachRound = 16;

const { values } = parseArgs({
  options: {
    fault: { type: 'string' },
    rounds: { type: 'string', default: '1' },
    seconds: { type: 'string', default: 'Infinity' },
    clients: { type: 'string', default: '5' },
    logs: { type: 'boolean' },
  },
});

type Run = { world: World; ledger: Ledger; authorization: string; t: Scope };

const chosen = choose(values.fault);
const endings: (() => unknown)[] = [];
const scope: Scope = { after: (work) => void endings.unshift(work) };
const rows: Row[] = [];
let ending: Promise<void> | undefined;
// What was tried until now is checked and told.
let isEnough = false;
process.once('SIGUSR2', () => {
  isEnough = true;
});
// A run that is interrupted leaves no server and no mounted disk behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void endAll().then(() => process.exit(1)));
let atTheEnd: string[] = [];
try {
  const world = await openWorld(scope);
  const authorization = `Basic ${Buffer.from(`faults:${world.key}`).toString('base64')}`;
  const run: Run = { world, ledger: openLedger(), authorization, t: scope };
  for (const fault of chosen) if (!isEnough) rows.push(await tryFault(run, fault));
  atTheEnd = await checkAtTheEnd(run);
  if (values.logs) for (const replica of world.replicas) console.log(replica.name, replica.log());
} finally {
  await endAll();
}
for (const fault of atTheEnd) console.error(`at the end: ${fault}`);
console.log(`\n${toTable(rows)}\n`);
const tried = rows.filter(({ rounds }) => rounds > 0);
const broken = tried.filter(({ lost, faults, recoveryMs }) => lost + faults > 0 || recoveryMs === undefined).length;
const skipped = rows.length - tried.length;
console.log(
  `${tried.length - broken + Number(atTheEnd.length === 0)} passed, ${broken + Number(atTheEnd.length > 0)} failed, ${skipped} skipped`,
);
process.exitCode = broken > 0 || atTheEnd.length > 0 ? 1 : 0;

async function endEach(): Promise<void> {
  for (const end of endings) await end();
}

/** Once, whoever asks: an interrupted run fails everywhere while its servers go. */
function endAll(): Promise<void> {
  ending ??= endEach();
  return ending;
}

function choose(names: string | undefined): readonly Fault[] {
  if (names === undefined) return catalog;
  return names.split(',').map((name) => {
    const fault = catalog.find((one) => one.name === name);
    if (!fault) throw new Error(`There is no fault ${name}. There are: ${catalog.map((one) => one.name).join(', ')}`);
    return fault;
  });
}

async function tryFault(run: Run, fault: Fault): Promise<Row> {
  const row = newRow(fault, secondsOf(fault));
  const lack = fault.lacks?.(run.world);
  if (lack !== undefined) {
    console.log(`skipped: ${fault.name}: ${lack}`);
    return row;
  }
  for (let round = 1; round <= Number(values.rounds); round++) {
    const result = await tryOnce(run, fault, round);
    addRound(row, result);
    for (const one of result.faults.slice(0, 20)) console.error(`${fault.name} ${round}: ${one}`);
    const recovered = inSeconds(result.recoveryMs);
    const refused = [...result.tally.refused].map(([status, count]) => `${count} x ${status}`).join(', ');
    console.log(
      `${fault.name} ${round}: ${result.acknowledged} acknowledged, ${result.tally.pulled} pulled, refused ${refused || 0}, cut off ${result.tally.broken}, not ready ${inSeconds(result.redMs)}, recovered ${recovered}, longest request ${(result.tally.slowestMs / 1000).toFixed(1)} s, ${result.faults.length} faults`,
    );
  }
  return row;
}

function secondsOf({ seconds }: Fault): number {
  return Math.min(seconds, Number(values.seconds));
}

function inSeconds(ms: number | undefined): string {
  return ms === undefined ? 'never' : `after ${(ms / 1000).toFixed(1)} s`;
}

/** One round: push and pull, break something, mend it, wait until all is well, compare with the ledger. */
async function tryOnce({ world, ledger, authorization }: Run, fault: Fault, round: number): Promise<Round> {
  const before = ledger.acknowledgements;
  const name = `${fault.name}-${round}`;
  const clients = startClients({ url: world.url, authorization, ledger, name, pushers: Number(values.clients) });
  await pause(warmMs);
  const readiness = watchReadiness(world.replicas);
  const mend = await fault.begin(world);
  await pause(secondsOf(fault) * 1000);
  const mendedAt = performance.now();
  const redMs = await readiness.stop();
  await mend();
  const backAt = performance.now();
  const recoveries = await Promise.all(world.replicas.map((replica) => findRecovery(replica, authorization)));
  await pause(calmMs);
  await clients.stop();
  const { tally } = clients;
  const reader: Reader = { url: world.url, authorization };
  const faults = [
    ...tally.faults,
    ...(await checkSessions(reader, ledger)),
    ...(await checkSome(reader, ledger, recheckedEachRound)),
  ];
  const recoveryMs = recoveries.includes(undefined)
    ? undefined
    : Math.max(0, tally.lastTroubleAt - mendedAt, ...recoveries.map((at) => (at ?? 0) - backAt));
  return { tally, acknowledged: ledger.acknowledgements - before, recoveryMs, redMs, faults };
}

/** Everything, once: each blob, manifest and tag, the bucket at rest, and what `lading verify` says. */
async function checkAtTheEnd({ world, ledger, authorization, t }: Run): Promise<string[]> {
  const reader: Reader = { url: world.url, authorization };
  const faults = [
    await checkBlobs(reader, [...ledger.blobs.keys()], ledger),
    await checkManifests(reader, [...ledger.manifests.keys()], ledger),
    await checkTags(reader, [...ledger.tags.keys()], ledger),
    await bringToRest(world),
  ];
  const env = { ...cleanEnvironment(), ...world.env, LADING_DATA_DIR: makeTestDirectory(t) };
  return [...faults.flat(), ...(await verify(env))];
}

function verify(env: NodeJS.ProcessEnv): Promise<string[]> {
  return new Promise((resolve) => {
    execFile(LADING, ['verify', '--deep'], { env }, (error, stdout, stderr) => {
      console.log(stdout.trim());
      resolve(error ? [`lading verify: ${error.code}\n${stdout}${stderr}`] : []);
    });
  });
}
