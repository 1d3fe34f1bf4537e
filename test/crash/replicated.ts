import { randomInt } from 'node:crypto';
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import pg from 'pg';
import { cleanEnvironment } from '../servers/lading.ts';
import { type Replica, startReplicas } from '../servers/replicas.ts';
import type { StoreState } from './store.ts';
import { choose, type Target } from './target.ts';

const prefix = 'replicas/';

/** Replicas on one Postgres and one bucket behind nginx. Mostly one of them is killed, sometimes more, or all at once. */
export async function openReplicated(count: number): Promise<Target> {
  const world = await startReplicas({ count, env: { LADING_LOG_LEVEL: 'info' } });
  const watching = new pg.Client({ connectionString: world.databaseUrl });
  await watching.connect();
  const kills = { one: 0, several: 0, all: 0 };
  const rows = async (statement: string) => (await watching.query(statement)).rows;

  /** In half of the kills that can choose, the one that works on a collection. */
  async function firstVictim(): Promise<Replica> {
    const working = await rows(`select worker from operations where state = 'running' and worker is not null`);
    const pids = working.map(({ worker }) => Number(String(worker).split('/')[1]));
    const busy = world.replicas.find((replica) => pids.includes(replica.pid()));
    const any = world.replicas[randomInt(count)] as Replica;
    return busy && randomInt(2) === 0 ? busy : any;
  }

  async function kill(): Promise<void> {
    const first = await firstVictim();
    const others = world.replicas.filter((replica) => replica !== first);
    const many = choose<keyof typeof kills>([6, 'one'], [2, 'several'], [1, 'all']);
    kills[many] += 1;
    const victims = { one: [first], several: [first, ...others.slice(1)], all: world.replicas }[many];
    await Promise.all(victims.map((replica) => replica.kill9()));
  }

  return {
    url: () => world.url,
    key: world.key,
    start: async () => {
      await Promise.all(world.replicas.map((replica) => replica.start()));
    },
    kill,
    servesOn: true,
    // Their writers are dead or idle; what is left of the five minutes that a silent one is given would only be waited for.
    abandonWriters: async () => {
      await rows(`update objects set writer_until = writer_until - 360000 where state = 'writing'`);
    },
    readStore: () => readBucket(world, rows),
    isCollecting: async () => {
      const found = await rows(
        `select 1 from operations where kind = 'garbage_collection' and state = 'running' limit 1`,
      );
      return found.length > 0;
    },
    stop: async () => {
      const codes = await Promise.all(world.replicas.map((replica) => replica.stop()));
      return world.replicas.flatMap((replica, i) =>
        codes[i] === 0 ? [] : [`${replica.name} ended with ${codes[i]}: ${replica.log().slice(-2000)}`],
      );
    },
    verifyEnvironment: () => ({ ...cleanEnvironment(), ...world.env, LADING_DATA_DIR: world.replicas[0]?.dataDir }),
    remove: async () => {
      await watching.end();
      await world.stop();
      return undefined;
    },
    describe: () =>
      `${count} replicas on Postgres and S3 behind nginx; killed: ${kills.one} times one, ${kills.several} times several, ${kills.all} times all`,
  };
}

type Bucket = Pick<Awaited<ReturnType<typeof startReplicas>>, 's3' | 'bucket'>;

/** An upload in parts that nobody has ended counts as its object. */
async function readBucket(bucket: Bucket, rows: (statement: string) => Promise<pg.QueryResultRow[]>) {
  // Objects first: one that is written meanwhile has its row before it, so a row can never be missing by accident.
  const unfinished = await listUnfinished(bucket);
  const files = new Set([...(await listObjects(bucket)), ...unfinished].map((key) => key.slice(prefix.length)));
  const found = await rows('select key, state, size from objects');
  const state: StoreState = {
    files,
    unfinished: new Set(unfinished.map((key) => key.slice(prefix.length))),
    rows: new Map(found.map(({ key, state, size }) => [String(key), { state: String(state), size: Number(size) }])),
  };
  return state;
}

async function listObjects({ s3, bucket: Bucket }: Bucket): Promise<string[]> {
  const keys: string[] = [];
  for (let token: string | undefined; ; ) {
    const page = await s3.client.send(new ListObjectsV2Command({ Bucket, ContinuationToken: token }));
    for (const { Key } of page.Contents ?? []) if (Key?.startsWith(prefix)) keys.push(Key);
    if (!page.IsTruncated) return keys;
    token = page.NextContinuationToken;
  }
}

async function listUnfinished({ s3, bucket: Bucket }: Bucket): Promise<string[]> {
  const keys: string[] = [];
  for (let at: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {}; ; ) {
    const page = await s3.client.send(new ListMultipartUploadsCommand({ Bucket, ...at }));
    for (const { Key } of page.Uploads ?? []) if (Key?.startsWith(prefix)) keys.push(Key);
    if (!page.IsTruncated) return keys;
    at = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
  }
}
