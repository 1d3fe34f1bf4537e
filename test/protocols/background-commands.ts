import fc from 'fast-check';
import { startCollection } from '#core/collection.ts';
import { doomLateWriters, removeDoomed, renewWriters } from '#core/objects.ts';
import { operationHandlers } from '#core/operation-handlers.ts';
import { runNextOperation } from '#core/operation-runs.ts';
import type { Platform } from '#core/platform.ts';
import { updateRegistry } from '#core/registries.ts';
import { regenerateToken, revokeToken } from '#core/token-changes.ts';
import { createToken } from '#core/tokens.ts';
import { renewUploads } from '#core/upload-renewal.ts';
import { expireUploads } from '#core/uploads.ts';
import { type Finding, type FindingKind, verify } from '#core/verify.ts';
import { kind } from './command.ts';
import { attempt } from './requests.ts';
import { type Client, tokenCount, type World } from './world.ts';

/** What goes on in the background, each a batch at a time. */
export const jobs: Readonly<Record<string, (platform: Platform) => Promise<unknown>>> = {
  renewWriters,
  renewUploads,
  doomLateWriters,
  expireUploads,
  removeDoomed,
  runOperation: (platform) => runNextOperation(platform, 'test', operationHandlers),
};

const minuteMs = 60_000;

async function revoke(client: Client, input: { token: number; isRegenerated: boolean }): Promise<void> {
  const { platform, world } = client;
  const { owner } = world.team;
  const token = world.tokens[input.token];
  if (!token) return;
  const end = input.isRegenerated ? regenerateToken : revokeToken;
  const outcome = await attempt<{ secret?: string }>(async () => {
    const answer = await end(platform, owner, { token: token.id });
    return 'secret' in answer ? { secret: answer.secret } : {};
  });
  if (!('value' in outcome)) return;
  token.revokedAt ??= ++world.scheduler.step;
  const { secret } = outcome.value;
  if (secret !== undefined) {
    world.tokens[input.token] = { id: token.id, secret, revokedAt: undefined };
    return;
  }
  const made = await attempt(() => createToken(platform, owner, { name: 'another', mode: 'rw', registryIds: null }));
  if ('value' in made) {
    world.tokens[input.token] = { id: made.value.token.id, secret: made.value.secret, revokedAt: undefined };
  }
}

/** What an operator may be told while everything goes on: removals to come, and errors that we put into the store. */
const passing: readonly string[] = ['removals overdue', 'object in doubt'] satisfies FindingKind[];

/** Throws if rows and bytes do not agree. */
export async function requireVerified(platform: Platform, except: readonly string[] = []): Promise<void> {
  const findings: Finding[] = [];
  await verify({ platform, deep: true, repair: false, report: (finding) => findings.push(finding) });
  const faults = findings.filter(({ kind }) => !except.includes(kind));
  if (faults.length > 0) throw new Error(`lading verify found ${JSON.stringify(faults)}`);
}

/** The one thing that is not promised: a process that stops in the middle of a write for a day and then goes on. */
const longestStallMs = 23 * 60 * minuteMs;

function advance({ platform: { clock }, writes }: World, ms: number): void {
  const latest = Math.min(...[...writes.values()].map((beganAt) => beganAt + longestStallMs));
  clock.advance(Math.max(0, Math.min(ms, latest - clock.now())));
}

async function collect({ platform, world }: Client, input: { registry: string; deleteUntagged: boolean }) {
  await attempt(() => startCollection(platform, world.team.owner, input));
}

export const backgroundKinds = {
  collect: kind<{ registry: string; deleteUntagged: boolean }>({
    weight: 3,
    input: fc.record({ registry: fc.constantFrom('acme', 'depot'), deleteUntagged: fc.boolean() }),
    run: collect,
  }),
  work: kind<{ job: string }>({
    weight: 6,
    input: fc.record({ job: fc.constantFrom(...Object.keys(jobs)) }),
    run: async ({ platform }, { job }) => {
      await attempt(async () => jobs[job]?.(platform));
    },
  }),
  wait: kind<{ minutes: number; jobs: string[] }>({
    weight: 4,
    input: fc.record({
      minutes: fc.constantFrom(1, 1, 6, 6, 11, 11, 70, 4 * 60, 25 * 60),
      jobs: fc.oneof(fc.constant(Object.keys(jobs)), fc.subarray(Object.keys(jobs))),
    }),
    run: async ({ platform, world }, { minutes, jobs: due }) => {
      advance(world, minutes * minuteMs);
      for (const job of due) await attempt(async () => jobs[job]?.(platform));
    },
  }),
  fail: kind<{ kind: 'crash' | 'error'; afterGates: number }>({
    weight: 3,
    input: fc.record({ kind: fc.constantFrom('crash', 'error'), afterGates: fc.integer({ min: 1, max: 120 }) }),
    run: async ({ world }, fault) => {
      world.faults.push({ ...fault });
    },
  }),
  revoke: kind({
    weight: 1,
    input: fc.record({ token: fc.nat(tokenCount - 1), isRegenerated: fc.boolean() }),
    run: revoke,
  }),
  limit: kind<{ registry: string; sizeLimitBytes: number }>({
    weight: 1,
    input: fc.record({ registry: fc.constantFrom('acme', 'depot'), sizeLimitBytes: fc.integer({ min: 0, max: 5000 }) }),
    run: async ({ platform, world }, input) => {
      world.loweredLimits.add(input.registry);
      await attempt(() => updateRegistry(platform, world.team.owner, input));
    },
  }),
  verify: kind<null>({
    weight: 1,
    input: fc.constant(null),
    run: async ({ platform }) => {
      await attempt(() => requireVerified(platform, passing));
    },
  }),
};
