import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { makeTestDatabase } from '#test/database.ts';
import { migrate, migrations } from '../migrate.ts';
import { openDatabase } from '../open-database.ts';

test('whoever could sign in before the table of actors was made anew still can', async (t) => {
  const { db, engine, now, close } = await openDatabase(await makeTestDatabase(t));
  t.after(close);
  await sql`drop table cluster_integrations`.execute(db);
  await sql`drop table clusters`.execute(db);
  await sql`delete from schema_migrations where number >= 3`.execute(db);
  await db.insertInto('teams').values({ id: 't', name: 't', slug: 't', created_at: 1 }).execute();
  const actor = {
    id: 'a',
    kind: 'robot' as const,
    team_id: 't',
    name: 'r',
    secret_hash: 'h',
    generation: 2,
    permissions: '[]',
    project_ids: '["p"]',
    registry_ids: null,
    lifetime_ms: 5,
    expires_at: 6,
    revoked_at: 7,
    last_used_at: 8,
    created_at: 9,
  };
  await db.insertInto('actors').values(actor).execute();
  await migrate(
    db,
    engine,
    now,
    migrations.filter(({ number }) => number <= 3),
  );
  assert.deepEqual({ ...(await db.selectFrom('actors').selectAll().executeTakeFirstOrThrow()) }, actor);
  await assert.rejects(
    db
      .insertInto('actors')
      .values({ ...actor, id: 'b' })
      .execute(),
    'a secret is still unique',
  );
});
