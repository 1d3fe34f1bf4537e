// What a run plays with: a team with two registries, tokens, a few small blobs, and what the clients were told.

import { type Digest, digestOf } from '#core/digest.ts';
import { createRegistry, updateRegistry } from '#core/registries.ts';
import { createToken } from '#core/tokens.ts';
import { type SeededTeam, seedTeam, type TestPlatform } from '../platform.ts';
import { Crash, type Fault, gatePlatform, newReplica, type Replica } from './gated-platform.ts';
import { newPromises, type Promises } from './promises.ts';
import type { Scheduler, Task } from './scheduler.ts';

export type Content = { bytes: Buffer; digest: Digest };

/** `revokedAt`: the step at which its revocation had been answered. */
export type TestToken = { id: string; secret: string; revokedAt: number | undefined };

/** Who asks: a token, and which of its access tokens (the holder of leases). */
export type Who = { token: number; session: number };

export type TestSession = {
  id: string;
  repository: string;
  who: Who;
  /** The chunks that were acknowledged, by where they begin. */
  chunks: Map<number, Buffer>;
  /** Requests to it that run now, and that ever were. */
  active: number;
  requests: number;
  /** One ended without an answer, or may have ended it. */
  isUncertain: boolean;
};

export type World = {
  platform: TestPlatform;
  scheduler: Scheduler;
  replicas: Replica[];
  faults: Fault[];
  /** As in `Gates`. */
  writes: Map<Task, number>;
  team: SeededTeam;
  /** Which process each task runs in, and whether one has just crashed. */
  serves: Map<Task, Replica>;
  hasCrashed: boolean;
  tokens: TestToken[];
  contents: Content[];
  sessions: TestSession[];
  promises: Promises;
  /** Digests of manifests that were pushed, by repository: what an index may list, what may be deleted. */
  manifests: Map<string, Set<Digest>>;
  deletedByName: Set<string>;
  loweredLimits: Set<string>;
  hashed: Set<string>;
};

/** One client's way to the platform: a process that serves it, and a task that moves when it is its turn. */
export type Client = { world: World; task: Task; replica: Replica; platform: TestPlatform };

export const repositories = ['acme/app', 'acme/lib', 'depot/app'] as const;
export const tokenCount = 3;
const sizes = [0, 1, 90, 150, 210, 280, 330, 400];
export const contentCount = sizes.length;

export type WorldOptions = { scheduler: Scheduler; limitBytes: number; contents: number };

export async function openWorld(
  platform: TestPlatform,
  { scheduler, limitBytes, contents }: WorldOptions,
): Promise<World> {
  const team = await seedTeam(platform, 'acme');
  await updateRegistry(platform, team.owner, { registry: 'acme', sizeLimitBytes: limitBytes });
  await createRegistry(platform, team.owner, { name: 'depot', sizeLimitBytes: limitBytes });
  const tokens: TestToken[] = [];
  for (let i = 0; i < tokenCount; i++) {
    const { token, secret } = await createToken(platform, team.owner, { name: `t${i}`, mode: 'rw', registryIds: null });
    tokens.push({ id: token.id, secret, revokedAt: undefined });
  }
  return {
    platform,
    scheduler,
    // Postgres may be shared by processes, a SQLite file may not.
    replicas: platform.engine === 'postgres' ? [newReplica(), newReplica()] : [newReplica()],
    faults: [],
    writes: new Map(),
    team,
    serves: new Map(),
    hasCrashed: false,
    tokens,
    contents: sizes
      .slice(-contents)
      .map((size, i) => toContent(Buffer.alloc(size, `${i}`), i === 5 ? 'sha512' : 'sha256')),
    sessions: [],
    promises: newPromises(),
    manifests: new Map(repositories.map((name) => [name, new Set()])),
    deletedByName: new Set(),
    loweredLimits: new Set(),
    hashed: new Set(),
  };
}

/** Of those that this run knows. */
export function contentOf({ contents }: World, number: number): Content {
  return contents[number % contents.length] as Content;
}

export function toContent(bytes: Buffer, algorithm: 'sha256' | 'sha512' = 'sha256'): Content {
  return { bytes, digest: digestOf(bytes, algorithm) };
}

/** Begins a task of a client of one of the processes. A crash ends it without a word. */
export function startClient(world: World, name: string, work: (client: Client) => Promise<void>): Task {
  const replica = world.replicas[world.scheduler.random(world.replicas.length)] ?? newReplica();
  return world.scheduler.start(name, async (task) => {
    world.serves.set(task, replica);
    const gates = {
      scheduler: world.scheduler,
      faults: world.faults,
      writes: world.writes,
      onCrash: (dead: Replica) => restart(world, dead),
    };
    const platform = gatePlatform(world.platform, replica, task, gates);
    try {
      await work({ world, task, replica, platform });
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    } finally {
      world.serves.delete(task);
      world.writes.delete(task);
    }
  });
}

/** Another process takes the place of one that ended; what the first was doing ends at its next gate. */
function restart(world: World, dead: Replica): void {
  world.replicas[world.replicas.indexOf(dead)] = newReplica();
  world.hasCrashed = true;
}
