// npm run test:all [-- --only sqlite+s3] [file…]
// The tests of everything that touches the database or the store, on each database with each store. Starts the servers.

import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { startPostgres } from '#test/servers/postgres.ts';
import { environmentOn, requireS3Program, startS3 } from '#test/servers/s3.ts';

const databases = ['sqlite', 'postgres'] as const;
const stores = ['disk', 's3'] as const;
const combinations = databases.flatMap((database) =>
  stores.map((store) => ({ name: `${database}+${store}`, database, store })),
);
type Combination = (typeof combinations)[number];

const everything = ['server/**/*.test.ts', 'test/*.test.ts'];

type Counts = { passed: number; failed: number; skipped: number };
type Outcome = Counts & { name: string; seconds: number; isGood: boolean };

/** Wrong names and missing programs are found before the first test, not after half an hour. */
function readArguments(): { chosen: Combination[]; files: string[] } {
  const options = { only: { type: 'string', multiple: true } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const names = combinations.map(({ name }) => name);
  for (const name of values.only ?? []) {
    if (!names.includes(name as Combination['name']))
      throw new Error(`There is no ${name}. --only takes one of ${names.join(', ')}.`);
  }
  const chosen = combinations.filter(({ name }) => !values.only || values.only.includes(name));
  if (chosen.some(({ store }) => store === 's3')) requireS3Program();
  return { chosen, files: positionals.length > 0 ? positionals : everything };
}

/** The servers of a combination, new for each: what one leaves behind is not the next one's. */
async function startServers({ database, store }: Combination) {
  const postgres = database === 'postgres' ? await startPostgres() : undefined;
  const s3 = store === 's3' ? await startS3() : undefined;
  const environment: Record<string, string> = {
    ...(postgres && { LADING_TEST_DATABASE_URL: postgres.url }),
    ...(s3 && (await environmentOn(s3))),
  };
  return { environment, stop: () => Promise.all([postgres?.stop(), s3?.stop()]) };
}

async function runTests(combination: Combination, files: string[]): Promise<Outcome> {
  const { name } = combination;
  console.log(`\n== ${name}`);
  const servers = await startServers(combination);
  const began = performance.now();
  try {
    const { code, output } = await runRunner(files, servers.environment);
    const counts = readCounts(output);
    const isGood = code === 0 && counts.passed > 0 && counts.failed === 0;
    return { name, ...counts, seconds: Math.round((performance.now() - began) / 1000), isGood };
  } finally {
    await servers.stop();
  }
}

// Each set by the combination alone: one that is inherited would make of disk what says S3.
const ours = ['LADING_TEST_DATABASE_URL', 'LADING_TEST_STORAGE_URL', 'LADING_TEST_S3_SERVER'];

async function runRunner(files: string[], environment: Record<string, string>) {
  const inherited = Object.entries(process.env).filter(([name]) => !ours.includes(name));
  const child = spawn(process.execPath, ['tools/run-tests.ts', ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...Object.fromEntries(inherited), ...environment },
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text);
    output += text;
  });
  const endWithUs = () => child.kill();
  process.once('exit', endWithUs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  process.removeListener('exit', endWithUs);
  return { code, output };
}

/** From the runner's closing lines. */
function readCounts(output: string): Counts {
  const count = (...names: string[]) =>
    names.reduce((sum, name) => sum + Number(new RegExp(`^ℹ ${name} (\\d+)$`, 'm').exec(output)?.[1] ?? 0), 0);
  return { passed: count('pass'), failed: count('fail', 'cancelled'), skipped: count('skipped', 'todo') };
}

function printTable(outcomes: readonly Outcome[]): void {
  const head = ['combination', 'passed', 'failed', 'skipped', 'seconds'];
  const rows = outcomes.map((one) => [one.name, one.passed, one.failed, one.skipped, one.seconds].map(String));
  const widths = head.map((title, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0), title.length));
  console.log();
  for (const row of [head, ...rows]) {
    console.log(
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    );
  }
}

async function main(): Promise<boolean> {
  const { chosen, files } = readArguments();
  const outcomes: Outcome[] = [];
  for (const combination of chosen) outcomes.push(await runTests(combination, files));
  printTable(outcomes);
  return outcomes.every(({ isGood }) => isGood);
}

// An interrupted run must not leave its servers behind; they end with this process where it ends of itself.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
}
