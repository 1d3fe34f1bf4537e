import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { fillManagedRegistries } from '#core/managed-registries.ts';
import { ensureRegions } from '#core/regions.ts';
import { openDatabase } from '#database/open-database.ts';
import { buildApp } from '#server/app.ts';
import { openLog } from '#server/log.ts';
import { secretsOf } from '#server/seal.ts';
import { openUpstream } from '#upstream/upstream.ts';
import { listTables, makeTestDatabase, type Scope } from './database.ts';
import { type CallOptions, callerOf, type DialectAnswer } from './dialect-client.ts';
import { findPlanted, newMark, type Planted, plant } from './planted-secrets.ts';
import { openTestPlatform, seedTeam } from './platform.ts';
import { openInternet } from './servers/internet.ts';

export type LeakWorld = Awaited<ReturnType<typeof openLeakWorld>>;

/** A team on a platform of which everything that comes out is kept, and is searched for what was planted. */
export async function openLeakWorld(t: Scope) {
  const opened = await openWatched(t);
  const { app, team, answers, planted } = opened;

  /** Every answer is searched for each secret but those that it is there to show. */
  const check = (asked: string, { status, headers, text }: DialectAnswer, shown: readonly string[]) => {
    const said = `${JSON.stringify(headers)}\n${text}`;
    const found = findPlanted(said, planted).filter((name) => !shown.includes(name));
    assert.deepEqual(found, [], `${asked} shows a secret: ${status} ${said}`);
    for (const name of shown)
      assert.ok(findPlanted(said, planted).includes(name), `${asked} is no door to ${name}: ${said}`);
    if (shown.length > 0) assert.equal(headers['cache-control'], 'no-store', asked);
    answers.push(said);
  };
  const send = callerOf(app, team.secret, '');
  const ask = async (asked: string, { shows = [], ...options }: CallOptions & { shows?: string[] } = {}) => {
    const answer = await send(asked, options);
    check(asked, answer, shows);
    return answer;
  };
  const done = async (asked: string, body?: unknown, options: CallOptions & { shows?: string[] } = {}) => {
    const answer = await ask(asked, { body, ...options });
    assert.ok(answer.status < 300, `${asked}: ${answer.status} ${answer.text}`);
    return answer.json;
  };

  return {
    ...{ ...opened, ask, done },
    /** A secret of this name that can be found again, with everything in it that has to be written otherwise somewhere. */
    secret: (name: string): string => {
      const mark = newMark();
      planted.push(plant(name, mark));
      return `p"\\/&+=%:${mark}é`;
    },
    /** A secret that the platform made. */
    noteMade: (name: string, made: string): string => {
      planted.push(plant(name, made));
      return made;
    },
    assertNothingOutside: () => assertNothingOutside(opened),
  };
}

/** What is kept of the platform: its log, and where its database is. */
async function openWatched(t: Scope) {
  const internet = openInternet(t);
  const place = await makeTestDatabase(t);
  const database = await openDatabase({ ...place, poolSize: 10 });
  t.after(() => database.close());
  const { db } = database;
  const logged: string[] = [];
  const log = openLog({ level: 'debug', stream: { write: (text) => logged.push(text) } });
  const keys = ['one', 'two'].map((id) => ({ id, key: randomBytes(32) }));
  const platform = await openTestPlatform(t, {
    ...{ db, scans: db, log, secrets: secretsOf(keys.slice(0, 1)) },
    outbound: internet.outbound,
  });
  platform.upstream = openUpstream(internet.outbound, { now: platform.now, limits: { requestMs: 500, checkMs: 1000 } });
  const regions = await ensureRegions(db, [{ slug: 'local', name: 'Local', host: 'localhost:8080' }]);
  platform.config = { ...platform.config, regions, connectionCheckIntervalMs: 1000, requestsPerHour: 1_000_000 };
  const team = await seedTeam(platform, 'acme');
  await fillManagedRegistries(platform);
  const app = await buildApp(platform, { metricsToken: 'metrics-token' });
  t.after(() => app.close());
  const planted: Planted[] = keys.map(({ id, key }) => plant(`master key ${id}`, key));
  planted.push(plant('the owner’s key', team.secret));
  const answers: string[] = [];
  return { internet, platform, db, place, app, team, keys, logged, answers, planted };
}

/** The log, all rows of all tables, and what the database's files have beside them: deleted rows, and earlier ones. */
async function assertNothingOutside({ db, place, logged, answers, planted }: Watched): Promise<void> {
  const outside: [string, string | Buffer][] = [['the log', logged.join('')]];
  for (const name of await listTables(db)) {
    const { rows } = await sql<object>`select * from ${sql.table(name)}`.execute(db);
    outside.push([`table ${name}`, JSON.stringify(rows)]);
  }
  for (const file of readdirSync(place.dataDir)) outside.push([file, readFileSync(join(place.dataDir, file))]);
  for (const [where, what] of outside) assert.deepEqual(findPlanted(what, planted), [], where);
  assert.ok(answers.length > 500 && planted.length > 20, `${answers.length} answers, ${planted.length} secrets`);
}

type Watched = Awaited<ReturnType<typeof openWatched>>;
