// Fills a database with connections of the oldest team, every second one restricted to its oldest project: what a listing
// needs, without the time of making them. They have no secrets and no test is due.
//
//   node bench/seed-connections.ts <data directory or postgres://…> <count>

import { newId } from '#core/ids.ts';
import { openDatabase } from '#database/open-database.ts';

const rowsPerInsert = 500;
const never = Number.MAX_SAFE_INTEGER;

const [target = '', count = '10000'] = process.argv.slice(2);
const isUrl = target.startsWith('postgres');
const { db, now, close } = await openDatabase(isUrl ? { url: target, dataDir: '' } : { dataDir: target });
await db.transaction().execute(async (db) => {
  const team = await db.selectFrom('teams').select('id').orderBy('created_at').executeTakeFirstOrThrow();
  const project = await db
    .selectFrom('projects')
    .select('id')
    .where('team_id', '=', team.id)
    .orderBy('created_at')
    .executeTakeFirstOrThrow();
  for (let from = 0; from < Number(count); from += rowsPerInsert) {
    const rows = Array.from({ length: Math.min(rowsPerInsert, Number(count) - from) }, (_, i) => ({
      id: newId(),
      team_id: team.id,
      name: `Connection ${from + i}`,
      folded_name: `connection ${from + i}`,
      slug: `connection-${from + i}`,
      description: 'This is a set of saved credentials.',
      provider: 'oci',
      url: `https://registry-${from + i}.example.com`,
      host: `registry-${from + i}.example.com`,
      namespace: '',
      username: '',
      sealed_secret: null,
      replacement_username: null,
      sealed_replacement: null,
      aws_region: null,
      token_host: null,
      is_restricted: i % 2,
      version: 1,
      status: 'passed' as const,
      tested_at: now(),
      credentials_expire_at: null,
      test_due_at: never,
      worker: null,
      claimed_until: null,
      created_at: now(),
      updated_at: now(),
    }));
    await db.insertInto('connections').values(rows).execute();
    const restricted = rows.filter((row) => row.is_restricted === 1);
    const bound = restricted.map(({ id }) => ({ connection_id: id, project_id: project.id }));
    await db.insertInto('connection_projects').values(bound).execute();
  }
});
await close();
