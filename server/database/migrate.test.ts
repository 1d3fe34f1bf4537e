import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import type { Schema } from '#core/schema.ts';
import { makeTestDatabase, openTestDatabase } from '#test/database.ts';
import { type Migration, migrate, migrations } from './migrate.ts';
import { openDatabase } from './open-database.ts';

const latest = migrations.length;

type Kind = 'text' | 'number' | 'bytes';

/** `tsc` keeps this list equal to the schema's types, the test keeps the tables equal to this list. */
const columns: { readonly [Table in keyof Schema]: { readonly [Column in keyof Schema[Table]]: Kind } } = {
  regions: { id: 'text', slug: 'text', name: 'text' },
  teams: { id: 'text', name: 'text', slug: 'text', created_at: 'number' },
  projects: { id: 'text', team_id: 'text', name: 'text', slug: 'text', created_at: 'number' },
  registries: {
    id: 'text',
    team_id: 'text',
    project_id: 'text',
    region_id: 'text',
    name: 'text',
    state: 'text',
    status_reason: 'text',
    is_public: 'number',
    is_managed: 'number',
    size: 'number',
    reserved: 'number',
    size_limit: 'number',
    created_at: 'number',
    updated_at: 'number',
    repository_count: 'number',
  },
  repositories: {
    id: 'text',
    registry_id: 'text',
    name: 'text',
    state: 'text',
    revision: 'number',
    size: 'number',
    created_at: 'number',
    updated_at: 'number',
    image_count: 'number',
    tag_count: 'number',
    is_listed: 'number',
  },
  objects: {
    key: 'text',
    state: 'text',
    size: 'number',
    refs: 'number',
    reserved_in: 'text',
    writer_until: 'number',
    remove_after: 'number',
    forget_after: 'number',
    attempts: 'number',
  },
  blobs: { registry_id: 'text', digest: 'text', object_key: 'text', size: 'number', links: 'number', lost: 'number' },
  repository_blobs: {
    repository_id: 'text',
    digest: 'text',
    registry_id: 'text',
    leased_until: 'number',
    leased_by: 'text',
  },
  manifests: {
    repository_id: 'text',
    digest: 'text',
    media_type: 'text',
    artifact_type: 'text',
    config_media_type: 'text',
    subject: 'text',
    annotations: 'text',
    os: 'text',
    architecture: 'text',
    built_at: 'number',
    pushed_at: 'number',
    size: 'number',
    image_size: 'number',
    leased_until: 'number',
    leased_by: 'text',
    bytes: 'bytes',
    is_attachment: 'number',
  },
  manifest_references: { repository_id: 'text', manifest_digest: 'text', child_digest: 'text' },
  tags: {
    repository_id: 'text',
    name: 'text',
    digest: 'text',
    belongs_to: 'text',
    created_at: 'number',
    updated_at: 'number',
    image_pushed_at: 'number',
  },
  uploads: {
    id: 'text',
    repository_id: 'text',
    principal: 'text',
    generation: 'number',
    received: 'number',
    version: 'number',
    started_at: 'number',
    expires_at: 'number',
  },
  upload_parts: { upload_id: 'text', number: 'number', object_key: 'text', size: 'number' },
  actors: {
    id: 'text',
    kind: 'text',
    team_id: 'text',
    name: 'text',
    secret_hash: 'text',
    generation: 'number',
    permissions: 'text',
    project_ids: 'text',
    registry_ids: 'text',
    lifetime_ms: 'number',
    expires_at: 'number',
    revoked_at: 'number',
    last_used_at: 'number',
    created_at: 'number',
  },
  operations: {
    id: 'text',
    kind: 'text',
    team_id: 'text',
    registry_id: 'text',
    repository_id: 'text',
    state: 'text',
    worker: 'text',
    claimed_until: 'number',
    again: 'number',
    attempts: 'number',
    freed: 'number',
    input: 'text',
    progress: 'text',
    error: 'text',
    created_at: 'number',
    started_at: 'number',
    finished_at: 'number',
  },
  holds: { id: 'text', until: 'number' },
  installations: { slot: 'number', id: 'text', copy_of: 'text', copied_at: 'number', run: 'text' },
  signing_keys: { id: 'text', public_jwk: 'text', sealed_private_jwk: 'text', created_at: 'number' },
  audit_events: {
    id: 'text',
    team_id: 'text',
    actor_kind: 'text',
    actor_id: 'text',
    actor_name: 'text',
    action: 'text',
    target_kind: 'text',
    target_id: 'text',
    target_name: 'text',
    detail: 'text',
    address: 'text',
    created_at: 'number',
  },
  clusters: {
    id: 'text',
    team_id: 'text',
    name: 'text',
    pool: 'text',
    server: 'text',
    ca_pem: 'text',
    sealed_credentials: 'text',
    state: 'text',
    created_at: 'number',
    updated_at: 'number',
  },
  cluster_integrations: {
    id: 'text',
    team_id: 'text',
    cluster_id: 'text',
    registry_id: 'text',
    namespaces: 'text',
    secret_name: 'text',
    state: 'text',
    version: 'number',
    supplied_version: 'number',
    places: 'text',
    token_id: 'text',
    sealed_token: 'text',
    token_renew_at: 'number',
    previous_token_id: 'text',
    due_at: 'number',
    worker: 'text',
    claimed_until: 'number',
    attempts: 'number',
    error: 'text',
    supplied_at: 'number',
    created_at: 'number',
    updated_at: 'number',
  },
  connections: {
    id: 'text',
    team_id: 'text',
    name: 'text',
    folded_name: 'text',
    slug: 'text',
    description: 'text',
    provider: 'text',
    url: 'text',
    host: 'text',
    namespace: 'text',
    username: 'text',
    sealed_secret: 'text',
    replacement_username: 'text',
    sealed_replacement: 'text',
    aws_region: 'text',
    token_host: 'text',
    is_restricted: 'number',
    version: 'number',
    status: 'text',
    tested_at: 'number',
    credentials_expire_at: 'number',
    test_due_at: 'number',
    worker: 'text',
    claimed_until: 'number',
    created_at: 'number',
    updated_at: 'number',
  },
  connection_projects: {
    connection_id: 'text',
    project_id: 'text',
  },
  connection_tests: {
    id: 'text',
    connection_id: 'text',
    cause: 'text',
    passed: 'number',
    failed_step: 'text',
    message: 'text',
    steps: 'text',
    latency_ms: 'number',
    rate_limit: 'text',
    credentials_expire_at: 'number',
    created_at: 'number',
  },
  connection_uses: {
    connection_id: 'text',
    project_id: 'text',
    actor_id: 'text',
    actor_name: 'text',
    times: 'number',
    last_used_at: 'number',
  },
  project_pull_tokens: {
    project_id: 'text',
    token_id: 'text',
    sealed_token: 'text',
    renew_at: 'number',
    expires_at: 'number',
  },
  request_windows: { actor_id: 'text', started_at: 'number', used: 'number' },
};

const kinds: Readonly<Record<string, Kind>> = {
  text: 'text',
  bigint: 'number',
  int8: 'number',
  int4: 'number',
  integer: 'number',
  blob: 'bytes',
  bytea: 'bytes',
};

test('the tables have exactly the columns of the schema', async (t) => {
  const { db } = await openTestDatabase(t);
  const { rows } = await sql<{ name: string }>`select current_schema() as name`.execute(db).catch(() => ({ rows: [] }));
  const schema = rows[0]?.name;
  const tables = (await db.introspection.getTables()).filter((table) => table.schema === schema);
  const found = tables
    .filter(({ name }) => name !== 'schema_migrations')
    .map((table) => [table.name, table.columns.map(({ name, dataType }) => [name, kinds[dataType.toLowerCase()]])]);
  const expected = Object.entries(columns).map(([table, names]) => [table, Object.entries(names)]);
  assert.deepEqual(found.sort(), expected.sort());
});

test('a database that is up to date is left as it is', async (t) => {
  const options = await makeTestDatabase(t);
  const first = await openDatabase(options);
  await first.db.insertInto('teams').values({ id: 'a', name: 'a', slug: 'a', created_at: 1 }).execute();
  await first.close();
  const second = await openDatabase(options);
  t.after(() => second.close());
  assert.equal((await second.db.selectFrom('teams').select('id').execute()).length, 1);
  const { rows } = await sql<{ number: number }>`select number from schema_migrations`.execute(second.db);
  assert.deepEqual(
    rows.map(({ number }) => number),
    migrations.map(({ number }) => number),
  );
});

test('a database of a newer release is refused in one sentence and not touched', async (t) => {
  const options = await makeTestDatabase(t);
  const { db, close } = await openDatabase(options);
  await sql`insert into schema_migrations (number, name, applied_at) values (${latest + 1}, 'from the future', 0)`.execute(
    db,
  );
  await close();
  await assert.rejects(openDatabase(options), {
    reason: 'unavailable',
    message: new RegExp(`^The database has schema version ${latest + 1}, made by a newer .* up to ${latest}\\. `),
  });
});

test('processes that start together migrate once', async (t) => {
  const options = await makeTestDatabase(t);
  const openOnce = `
    import { openDatabase } from ${JSON.stringify(new URL('./open-database.ts', import.meta.url).href)};
    const { check, close } = await openDatabase(${JSON.stringify(options)});
    await check();
    await close();`;
  const run = promisify(execFile);
  await Promise.all([1, 2, 3].map(() => run(process.execPath, ['--input-type=module', '--eval', openOnce])));
  const { db, close } = await openDatabase(options);
  t.after(close);
  const { rows } = await sql<{ number: number }>`select number from schema_migrations`.execute(db);
  assert.equal(rows.length, migrations.length);
});

test('a migration that fails leaves the database as it was', async (t) => {
  const { db, engine, now } = await openTestDatabase(t);
  const bad: Migration = {
    number: latest + 2,
    name: 'bad',
    statements: () => ['create table half (id integer)', 'create table half (id integer)'],
  };
  const good: Migration = {
    number: latest + 1,
    name: 'good',
    statements: () => ['alter table holds add column reason text'],
  };
  await assert.rejects(migrate(db, engine, now, [...migrations, good, bad]), /half/);
  await assert.rejects(sql`select id from half`.execute(db));
  await assert.rejects(sql`select reason from holds`.execute(db));
  await migrate(db, engine, now, [...migrations, good]);
  await sql`select reason from holds`.execute(db);
});
