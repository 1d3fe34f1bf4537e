import { randomBytes } from 'node:crypto';
import { type Actor, findActorBySecret } from '#core/actors.ts';
import { insertApiKey } from '#core/api-keys.ts';
import { newId, newSecret } from '#core/ids.ts';
import { newLocalState } from '#core/local-state.ts';
import type { Log, Platform } from '#core/platform.ts';
import { ensureRegions, getRegion } from '#core/regions.ts';
import { insertRegistry } from '#core/registry-rows.ts';
import type { Database } from '#database/open-database.ts';
import type { AllowedUpstream } from '#outbound/addresses.ts';
import { allowsPlainHttp } from '#outbound/addresses.ts';
import { openOutbound } from '#outbound/outbound.ts';
import { secretsOf } from '#server/seal.ts';
import { openUpstream } from '#upstream/upstream.ts';
import { openTestDatabase, type Scope } from './database.ts';
import type { StoreView } from './store-view.ts';
import { openTestStore } from './test-store.ts';

/** Stands still until a test moves it. */
export type Clock = { now: () => number; advance(ms: number): void };

export type TestPlatform = Platform & {
  clock: Clock;
  /** The store behind its back, for tests that count objects, damage or lose them. */
  storeView: StoreView;
  engine: Database['engine'];
};

/** What an operator allows who has servers on the same machine. */
export const loopback: readonly AllowedUpstream[] = [{ range: '127.0.0.0/8' }, { host: 'localhost', port: undefined }];

const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A platform of real parts: a database of its own (see `database.ts`), a store (see `test-store.ts`), a clock that tests move. */
export async function openTestPlatform(
  t: Scope,
  overrides: Partial<Platform> = {},
  { allowed = [] }: { allowed?: readonly AllowedUpstream[] } = {},
): Promise<TestPlatform> {
  const { db, engine } = await openTestDatabase(t);
  const outbound = overrides.outbound ?? openOutbound({ allowed });
  const { blobs, view: storeView } = await openTestStore(t);
  const clock = newClock();
  return {
    db,
    scans: db,
    engine,
    storeView,
    clock,
    blobs,
    secrets: secretsOf([{ id: 'test', key: randomBytes(32) }]),
    outbound,
    upstream: openUpstream(outbound),
    now: clock.now,
    log: silentLog,
    config: {
      regions: await ensureRegions(db, [{ slug: 'local', name: 'Local', host: 'localhost:8080' }]),
      registryLimitBytes: 20 * 1024 ** 3,
      registriesPerTeam: 100,
      requestsPerHour: null,
      connectionCheckIntervalMs: null,
      allowsPlainHttp: allowsPlainHttp(allowed),
    },
    local: newLocalState(),
    ...overrides,
  };
}

function newClock(): Clock {
  let time = Date.UTC(2026, 0, 1);
  return {
    now: () => time,
    advance: (ms) => {
      time += ms;
    },
  };
}

export type SeededTeam = {
  teamId: string;
  projectId: string;
  registryId: string;
  registryName: string;
  /** The owner's API key, and what it signs in. */
  secret: string;
  owner: Actor;
};

/** A team with a project, an active registry of its name and the owner's key; no managed registries in its lists. */
export async function seedTeam(platform: Platform, name: string): Promise<SeededTeam> {
  const { db } = platform;
  const created_at = platform.now();
  const [teamId, projectId] = [newId(), newId()];
  await db.insertInto('teams').values({ id: teamId, name, slug: name, created_at }).execute();
  await db
    .insertInto('projects')
    .values({ id: projectId, team_id: teamId, name: 'default', slug: 'default', created_at })
    .execute();
  const registry = await insertRegistry(platform, {
    teamId,
    projectId,
    regionId: getRegion(platform).id,
    name,
    isPublic: false,
    isManaged: false,
    sizeLimitBytes: platform.config.registryLimitBytes,
  });
  if (!registry) throw new Error(`There is a registry ${name} already.`);
  const { secret, actor } = await seedKey(platform, teamId);
  return { teamId, projectId, registryId: registry.id, registryName: name, secret, owner: actor };
}

/** An API key of the team; of the whole team and with every permission unless said otherwise. */
export async function seedKey(
  platform: Platform,
  teamId: string,
  { permissions = ['*', 'teams:write'], projectIds = null as readonly string[] | null } = {},
): Promise<{ secret: string; actor: Actor }> {
  const secret = newSecret('key');
  await insertApiKey(platform, { teamId, name: 'owner', permissions, projectIds, secret, expiry: null });
  const actor = await findActorBySecret(platform, secret);
  if (!actor) throw new Error('The key just made signs nobody in.');
  return { secret, actor };
}
