import { randomInt } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { pause } from '../servers/child.ts';
import type { Fault as StorageFault } from '../servers/fault-proxy.ts';
import type { TcpProxy } from '../servers/tcp-proxy.ts';
import type { World } from './world.ts';

/** Something that goes wrong for a while. */
export type Fault = {
  name: string;
  /** For the table of docs/operations.md. */
  what: string;
  seconds: number;
  /** Makes it so; what it answers makes it good again. */
  begin: (world: World) => Promise<() => Promise<unknown>>;
  /** Why it cannot be tried here. */
  lacks?: (world: World) => string | undefined;
};

const answers = (status: number, code: string): StorageFault => ({
  answer: status,
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>on purpose</Message></Error>`,
});

export const faults: readonly Fault[] = [
  {
    name: 'replica-killed',
    what: 'one of three replicas gets SIGKILL in the middle of pushes, and is started again',
    seconds: 1,
    async begin(world) {
      const replica = pick(world.replicas);
      await replica.kill9();
      return replica.start;
    },
  },
  restarted('fast', 'PostgreSQL is restarted, ending all its sessions (`fast`)'),
  restarted('immediate', 'PostgreSQL crashes and recovers (`immediate`)'),
  {
    name: 'postgres-cut',
    what: 'all connections to PostgreSQL are reset, every half second',
    seconds: 5,
    begin: async ({ databaseLines }) => repeat(500, () => each(databaseLines, (line) => line.cut())),
  },
  lines('postgres-silent', 'nothing gets through to PostgreSQL any more, and no connection ends', 20, 'silent', [
    'databaseLines',
  ]),
  lines('postgres-gone', 'nobody listens at the address of PostgreSQL', 10, 'refuse', ['databaseLines']),
  spoiled('s3-500', 'S3 answers 500 to a third of the requests', 8, () => someOf(3, answers(500, 'InternalError'))),
  spoiled('s3-down-500', 'S3 answers 500 to everything', 8, () => answers(500, 'InternalError')),
  spoiled('s3-slow-down', 'S3 answers 503 SlowDown to everything', 8, () => answers(503, 'SlowDown')),
  spoiled('s3-stalls', 'S3 does not answer a fifth of the requests', 10, () => someOf(5, { silent: true })),
  spoiled('s3-silent', 'S3 takes connections and answers nothing', 25, () => ({ silent: true })),
  spoiled('s3-cuts-requests', 'S3 cuts a third of the connections in the middle of the request', 8, ({ headers }) =>
    someOf(3, { cutRequestAfter: Math.ceil(Number(headers['content-length'] ?? 0) / 2) }),
  ),
  spoiled('s3-cuts-answers', 'S3 cuts a third of the connections in the middle of the answer', 8, () =>
    someOf(3, { cutAnswerAfter: randomInt(0, 200_000) }),
  ),
  spoiled('s3-stalls-answers', 'S3 stops in the middle of a tenth of its answers', 8, () =>
    someOf(10, { stallAnswerAfter: randomInt(0, 200_000) }),
  ),
  spoiled('s3-loses-answers', 'S3 does as it is asked and loses a third of its answers', 8, () =>
    someOf(3, { loseAnswer: true }),
  ),
  lines('s3-gone', 'nobody listens at the address of S3', 60, 'refuse', ['storageLines']),
  {
    name: 'bucket-full',
    what: 'the disk of the bucket is full to the last block, then has space again',
    seconds: 8,
    lacks: ({ disk }) => (disk ? undefined : 'a tmpfs cannot be mounted here'),
    async begin({ disk }) {
      await disk?.fill();
      return async () => disk?.free();
    },
  },
  skewed('clock-ahead', '+5m', 'the clock of one replica is five minutes ahead'),
  skewed('clock-behind', '-5m', 'the clock of one replica is five minutes behind'),
  parted('partition-postgres', 'nothing gets through between one replica and PostgreSQL', ['databaseLines']),
  parted('partition-s3', 'nothing gets through between one replica and S3', ['storageLines']),
];

type Lines = readonly ('databaseLines' | 'storageLines')[];

function restarted(mode: 'fast' | 'immediate', what: string): Fault {
  return {
    name: `postgres-${mode}`,
    what,
    seconds: 0,
    async begin({ postgres }) {
      await postgres.restart(mode);
      return async () => {};
    },
  };
}

function lines(name: string, what: string, seconds: number, state: 'silent' | 'refuse', of: Lines): Fault {
  return {
    name,
    what,
    seconds,
    async begin(world) {
      const all = of.flatMap((kind) => world[kind]);
      await Promise.all(all.map((line) => line.set(state)));
      return () => Promise.all(all.map((line) => line.set('pass')));
    },
  };
}

function parted(name: string, what: string, of: Lines): Fault {
  return {
    name,
    what,
    seconds: 20,
    async begin(world) {
      const index = randomInt(world.replicas.length);
      const own = of.flatMap((kind) => world[kind][index] ?? []);
      await Promise.all(own.map((line) => line.set('silent')));
      return () => Promise.all(own.map((line) => line.set('pass')));
    },
  };
}

function spoiled(
  name: string,
  what: string,
  seconds: number,
  fault: (request: IncomingMessage) => StorageFault | undefined,
): Fault {
  return {
    name,
    what,
    seconds,
    async begin({ storage }) {
      storage.fault = fault;
      return async () => {
        storage.fault = () => undefined;
      };
    },
  };
}

function skewed(name: string, distance: string, what: string): Fault {
  const restart = async (world: World, index: number, clock: string | undefined) => {
    const replica = world.replicas[index];
    await replica?.stop();
    world.clocks[index] = clock;
    await replica?.start();
  };
  return {
    name,
    what,
    seconds: 10,
    async begin(world) {
      const index = randomInt(world.replicas.length);
      await restart(world, index, distance);
      return () => restart(world, index, undefined);
    },
  };
}

const someOf = (share: number, fault: StorageFault) => (randomInt(share) === 0 ? fault : undefined);

function pick<T>(items: readonly T[]): T {
  return items[randomInt(items.length)] as T;
}

function each(proxies: readonly TcpProxy[], work: (proxy: TcpProxy) => void): void {
  for (const proxy of proxies) work(proxy);
}

/** Does it now and every so often. */
async function repeat(everyMs: number, work: () => void): Promise<() => Promise<void>> {
  let isOver = false;
  const loop = (async () => {
    for (; !isOver; await pause(everyMs)) work();
  })();
  return async () => {
    isOver = true;
    await loop;
  };
}
