import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { findActorBySecret } from '#core/actors.ts';
import { Failure } from '#core/failure.ts';
import type { Log, Platform } from '#core/platform.ts';
import { verify } from '#core/verify.ts';
import { buildApp } from '#server/app.ts';
import { readConfig } from '#server/config.ts';
import { parseStorageUrl } from '#server/config-storage.ts';
import type { Place } from '#server/copy-rules.ts';
import { type Opened, openSource, openTarget, type SourceRules, type TargetRules } from '#server/open-copy.ts';
import { openPlatform } from '#server/open-platform.ts';
import { secretsOf } from '#server/seal.ts';
import { type Copied, copyInstallation, type Source, type Target } from '#transfer/copy-installation.ts';
import { makeTestDirectory, makeTestSchema, memoryDirectory, type Scope, testDatabaseUrl } from './database.ts';
import { findBroken } from './invariants.ts';
import { type Ask, askerOf, basic, pushImage, withAuthorization } from './oci-client.ts';
import { type SeededTeam, seedTeam, type TestPlatform } from './platform.ts';
import { describe, imageOf, indexOf, indexType, putManifest } from './registry-client.ts';
import { lookIntoStoreOf, testStorageUrl } from './test-store.ts';

// Installations that are copied: each in a place of its own, of the kind under test or of the embedded one.

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

const key = { id: 'copied', key: randomBytes(32) };

/** Of the kind that `npm run test:all` says; `embedded`: SQLite and disk whatever it says. */
export async function makePlace(t: Scope, kind: 'under test' | 'embedded' = 'under test'): Promise<Place> {
  const dataDir = join(makeTestDirectory(t, memoryDirectory), 'data');
  if (kind === 'embedded') return { dataDir };
  const databaseUrl = testDatabaseUrl === undefined ? undefined : await makeTestSchema(t, testDatabaseUrl);
  const storage = testStorageUrl === undefined ? undefined : parseStorageUrl(testStorageUrl);
  const prefix = `copy-${randomBytes(8).toString('hex')}`;
  return { dataDir, databaseUrl, storage: storage && { ...storage, prefix } };
}

export type Served = {
  place: Place;
  platform: TestPlatform;
  /** As the owner of the team and registry `acme`. */
  owner: Ask;
  team: SeededTeam;
  stop(): Promise<void>;
};

/** A server on a place. `team`: as it was seeded where this is a copy of. Throws what stops a start. */
export async function serveOn(t: Scope, place: Place, team?: SeededTeam): Promise<Served> {
  const answer = readConfig({ LADING_DATA_DIR: place.dataDir });
  if ('faults' in answer) throw new Error(answer.faults.join());
  const config = { ...answer.config, databaseUrl: place.databaseUrl, storage: place.storage };
  const { platform, database, close } = await openPlatform(config, silentLog, secretsOf([key]));
  const view = await lookInto(place);
  const testPlatform = { ...platform, engine: database.engine, storeView: view, clock: stillClock };
  const app = await buildApp(testPlatform);
  let isOpen = true;
  const stop = async () => {
    if (!isOpen) return;
    isOpen = false;
    await app.close();
    await close();
  };
  t.after(stop);
  const known = team ?? (await seedTeam(platform, 'acme'));
  const owner = withAuthorization(askerOf(app), basic(known.secret));
  return { place, platform: testPlatform, owner, team: known, stop };
}

const stillClock = { now: Date.now, advance: () => assert.fail('this clock is real') };

export function lookInto({ dataDir, storage }: Place) {
  if (!storage) return lookIntoStoreOf({ LADING_DATA_DIR: dataDir });
  const { bucket, prefix, endpoint = '', region } = storage;
  const url = new URL(`s3://${bucket}/${prefix}`);
  url.search = `${new URLSearchParams({ endpoint, 'path-style': 'true', ...(region && { region }) })}`;
  return lookIntoStoreOf({ LADING_STORAGE_URL: url.href });
}

export type CopyChanges = {
  source?: (source: Opened<Source>) => Source;
  target?: (target: Opened<Target>) => Target;
  rules?: TargetRules & SourceRules;
  signal?: AbortSignal;
  onReport?: () => void;
};

/** One run of the copy, as the commands make it. */
export async function copy(from: Place, to: Place, changes: CopyChanges = {}): Promise<Copied> {
  const { rules = {}, signal = new AbortController().signal, onReport = () => {} } = changes;
  const source = await openSource(from, rules);
  try {
    const target = await openTarget(to, source, rules);
    try {
      return await copyInstallation({
        source: changes.source?.(source) ?? source,
        target: changes.target?.(target) ?? target,
        log: silentLog,
        report: onReport,
        signal,
        pausesMs: [0, 0],
      });
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

export async function signsIn(platform: Platform, secret: string): Promise<boolean> {
  return (await findActorBySecret(platform, secret)) !== undefined;
}

export const refused = (reason: Failure['reason'], message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Failure, String(error));
  assert.equal(error.reason, reason, error.message);
  assert.match(error.message, message);
  return true;
};

/** Images with layers of their own and shared ones, an index, an attachment, and what is pushed in an odd way. */
async function pushSome(owner: Ask, count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await pushImage(owner, `acme/app-${i % 2}`, `v${i}`, [`layer ${i}`, 'shared']);
  const child = imageOf(['shared']);
  const { digest } = describe(child);
  assert.equal((await putManifest(owner, 'acme/app-0', digest, child)).status, 201);
  const index = indexOf([describe(child, 'application/vnd.oci.image.manifest.v1+json')]);
  assert.equal((await putManifest(owner, 'acme/app-0', 'multi', index, indexType)).status, 201);
}

/** A source with images in it. */
export async function startSource(t: Scope): Promise<Served> {
  const served = await serveOn(t, await makePlace(t));
  await pushSome(served.owner);
  return served;
}

export async function assertSound({ platform }: Served): Promise<void> {
  assert.deepEqual(await findBroken(platform), []);
  const findings: unknown[] = [];
  await verify({ platform, deep: true, repair: false, report: (finding) => findings.push(finding) });
  assert.deepEqual(findings, []);
}
