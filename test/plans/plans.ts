// npm run test:plans [-- <manifests>] [--table]
// Looks at how Postgres goes about every statement of what happens often, among a million manifests: fails where one reads
// a large table from end to end, or far more rows than it finds. Takes minutes, so it is run by hand. `--table` prints
// the statements of pulls and pushes for docs/storage.md.

import { Kysely } from 'kysely';
import pg from 'pg';
import { newLocalState } from '#core/local-state.ts';
import type { NamedQuery } from '#core/prepared.ts';
import { ensureRegions } from '#core/regions.ts';
import type { Schema } from '#core/schema.ts';
import { openDatabase } from '#database/open-database.ts';
import { openPostgresDialect } from '#database/postgres.ts';
import { buildApp } from '#server/app.ts';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import { makeDatabase, startPostgres } from '#test/servers/postgres.ts';
import { type Explained, explain, type Mode, type Statement } from './explain.ts';
import { hotPaths } from './hot-paths.ts';
import { seed } from './seed.ts';

const manifests = Number(process.argv.slice(2).find((word) => /^[0-9]+$/.test(word)) ?? 1_000_000);
const largeTable = 10_000;
/** A statement may look at so many rows more than it finds: what a batch looks through, and rows of other states. */
const rowsMost = (found: number, values: number) => 500 + 10 * found + 5 * values;
const pagesMost = (rows: number, values: number) => 300 + 15 * rows + 8 * values;

/** What reads more on purpose, how much of it, and whether even a large table from end to end. */
const known: readonly { path: RegExp; text: RegExp; rows: number; anyScan?: boolean }[] = [
  // An offset costs the entries of an index that it skips (decision 0020).
  { path: /^Selectel: images, page 20$/, text: /offset/, rows: 1100 },
  // Looks through a whole repository, here a fifth of all there is, in pages, on a connection of its own.
  { path: /^collection$|^job: run operations$/, text: /^(select|with recursive)/, rows: 10 * manifests, anyScan: true },
  // Counts what waits.
  { path: /^metrics$/, text: /^select/, rows: manifests },
];

/** `isKept`: by its name, so that its plan is made without its values; all others are planned with theirs, each time. */
type Seen = { path: string; statement: Statement; isKept: boolean };

const { endings, scope } = newScope();
try {
  process.exitCode = (await run()) ? 0 : 1;
} finally {
  for (const end of endings.reverse()) await end();
}

async function run(): Promise<boolean> {
  const postgres = await startPostgres();
  endings.push(() => postgres.stop());
  const url = await makeDatabase(postgres.url);
  await (await openDatabase({ url, dataDir: '' })).close();
  let listener: (statement: Statement, isKept: boolean) => void = () => {};
  const db = new Kysely<Schema>({
    dialect: openPostgresDialect({ url }),
    log: ({ query }) =>
      listener({ text: query.sql, values: query.parameters }, (query as NamedQuery).name !== undefined),
  });
  endings.push(() => db.destroy());
  const platform = await openPlatform(db);
  const team = await seedTeam(platform, 'acme');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  endings.push(() => client.end());
  const startedAt = performance.now();
  const seeded = await seed(client, { teamId: team.teamId, registryId: team.registryId, count: manifests });
  console.log(`${manifests} manifests after ${Math.round((performance.now() - startedAt) / 1000)} s`);

  const app = await buildApp(platform);
  endings.push(() => app.close());
  const seen: Seen[] = [];
  for (const [path, work] of await hotPaths({ platform, app, team, seeded })) {
    listener = (statement, isKept) => {
      const isKnown = seen.some((one) => one.path === path && one.statement.text === statement.text);
      if (!isKnown && /^\s*(select|update|delete|with)/i.test(statement.text)) seen.push({ path, statement, isKept });
    };
    await work().catch((error: unknown) => {
      throw new Error(`${path} does not work`, { cause: error });
    });
  }
  listener = () => {};
  const large = await findLargeTables(client);
  return judgeAll(client, seen, large);
}

async function openPlatform(db: Kysely<Schema>) {
  const other = await openTestPlatform(scope);
  const regions = await ensureRegions(db, [{ slug: 'local', name: 'Local', host: 'localhost:8080' }]);
  const log = { ...other.log, error: (fields: object, message: string) => console.error(message, fields) };
  return { ...other, log, db, scans: db, local: newLocalState(), config: { ...other.config, regions } };
}

async function findLargeTables(client: pg.Client): Promise<Set<string>> {
  const { rows } = await client.query<{ relname: string }>(
    `select relname from pg_class where relkind = 'r' and reltuples > ${largeTable} and relnamespace = 'public'::regnamespace`,
  );
  return new Set(rows.map(({ relname }) => relname));
}

async function judgeAll(client: pg.Client, seen: readonly Seen[], large: ReadonlySet<string>): Promise<boolean> {
  let passed = 0;
  let failed = 0;
  for (const { path, statement, isKept } of seen) {
    const modes: Partial<Record<Mode, Explained>> = { custom: await explain(client, statement, 'custom') };
    if (isKept) modes.generic = await explain(client, statement, 'generic');
    const faults = Object.entries(modes).flatMap(([mode, found]) =>
      faultsOf(path, statement, found, large).map((fault) => `${mode}: ${fault}`),
    );
    if (faults.length > 0) {
      failed++;
      console.log(
        `✖ ${path}\n    ${statement.text}\n    ${faults.join('\n    ')}\n    ${modes.custom?.scans.join(', ')}`,
      );
    } else passed++;
    if (process.argv.includes('--table')) console.log(rowOf(path, statement, modes.generic ?? modes.custom));
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0;
}

function faultsOf(path: string, { text, values }: Statement, found: Explained, large: ReadonlySet<string>): string[] {
  const allowance = known.find((one) => one.path.test(path) && one.text.test(text));
  const faults = found.scans
    .filter((scan) => !allowance?.anyScan && scan.startsWith('Seq Scan ') && large.has(scan.slice('Seq Scan '.length)))
    .map((scan) => `${scan}, a large table`);
  const most = allowance?.rows ?? rowsMost(found.rowsFound, values.length);
  if (found.rowsRead > most) faults.push(`${found.rowsRead} rows read for ${found.rowsFound}`);
  if (!allowance && found.pages > pagesMost(found.rowsRead, values.length))
    faults.push(`${found.pages} pages for ${found.rowsRead} rows`);
  return faults;
}

function rowOf(path: string, { text }: Statement, found: Explained | undefined): string {
  if (!found) return '';
  const { scans, rowsRead, rowsFound, pages, ms } = found;
  const verb = /^\s*(select|update|delete|with)/i.exec(text)?.[1] ?? '';
  const table = /(?:from|update) "?([a-z_]+)"?/.exec(text)?.[1] ?? '';
  return `| ${path} | ${verb} ${table} | ${scans.map((scan) => scan.replace(/^.* /, '')).join(', ')} | ${rowsRead} | ${rowsFound} | ${pages} | ${ms.toFixed(2)} |`;
}

function newScope() {
  const endings: (() => unknown)[] = [];
  return { endings, scope: { after: (work: () => unknown) => void endings.push(work) } };
}
