// Fields that only the platform decides, sent to every route that makes or changes something (Harbor, CVE-2019-16097).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listTables } from './database.ts';
import { bodyFor, openManagementWorld, valuesOf } from './management-world.ts';
import { requestOf } from './route-list.ts';

const planted = 'planted-by-a-client';
const time = 4_102_444_800_000;

test('no field that the platform decides is taken from a body, on any route', async (t) => {
  const world = await openManagementWorld(t);
  const { routes, mine, theirs, call, platform } = world;
  const { db } = platform;
  const privileged = {
    ...{
      id: theirs.connection,
      team_id: theirs.team,
      teamId: theirs.team,
      team: theirs.team,
      slug: planted,
      host: planted,
    },
    ...{
      isManaged: true,
      is_managed: 1,
      is_restricted: 0,
      isRestricted: false,
      version: 77,
      hash: planted,
    },
    ...{
      status: 'passed',
      state: 'ACTIVE',
      worker: planted,
      created_at: time,
      createdAt: time,
      dtCreated: time,
      updatedAt: time,
    },
    ...{
      tested_at: time,
      testedAt: time,
      credentials_expire_at: time,
      credentialsExpireAt: time,
      sealed_secret: planted,
      sealedSecret: planted,
      secret_hash: planted,
      secret: planted,
    },
    ...{ folded_name: planted, projectId: theirs.project, project_id: theirs.project, registryId: theirs.registry },
    ...{
      hasSecret: false,
      has_credentials: true,
      region_id: planted,
      regionId: planted,
      actor: planted,
      isAdmin: true,
    },
    ...{
      has_admin_role: true,
      used: 0,
      sizeBytes: 0,
      pushedAt: time,
      last_used_at: time,
      mode: 'rw',
    },
  };
  const counts = { taken: 0, refused: 0 };
  for (const route of routes.filter(({ method }) => /^(?:POST|PUT|PATCH)$/.test(method))) {
    const own = bodyFor(world, route, mine);
    if (own === undefined) continue;
    const asked = requestOf(route, valuesOf(route, mine));
    const { status, text } = await call(asked, { body: { ...privileged, ...own } });
    assert.ok(status < 500, `${asked}: ${text}`);
    assert.ok(!text.includes(planted) || status === 400, `${asked}: ${text}`);
    counts[status < 300 ? 'taken' : 'refused']++;
  }
  assert.ok(counts.taken > 20 && counts.refused > 20, JSON.stringify(counts));
  for (const name of await listTables(db)) {
    const rows = await db
      .selectFrom(name as 'connections')
      .selectAll()
      .execute();
    const text = JSON.stringify(rows);
    assert.ok(!text.includes(planted) && !text.includes(String(time)), `${name}: ${text}`);
  }
  const foreign = await db.selectFrom('connections').select('id').where('team_id', '=', theirs.team).execute();
  assert.deepEqual(
    foreign.map(({ id }) => id),
    [theirs.connection],
  );
  const versions = await db.selectFrom('connections').select('version').where('version', '=', 77).execute();
  assert.deepEqual(versions, []);
});
