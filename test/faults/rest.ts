// What is there when everything has come to rest: no object in the bucket without a row, finished or not, and no row
// without its object.

import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import pg from 'pg';
import { pause } from '../servers/child.ts';
import type { World } from './world.ts';

type State = { rows: Map<string, string>; uploads: number; objects: Set<string>; unfinished: string[] };

const longestMs = 180_000;
const hours = 25;

/**
 * Waits for the janitor, whose times are minutes to a day: instead of waiting that long, everything that has a time is
 * made older by a day, again and again until nothing is left to do. The faults that remain.
 */
export async function bringToRest(world: World): Promise<string[]> {
  const client = new pg.Client({ connectionString: world.databaseUrl });
  await client.connect();
  try {
    const deadline = Date.now() + longestMs;
    for (;;) {
      await age(client);
      const faults = findFaults(await look(world, client));
      if (faults.length === 0 || Date.now() > deadline) return faults;
      await pause(1_000);
    }
  } finally {
    await client.end();
  }
}

async function age(client: pg.Client): Promise<void> {
  const ms = hours * 3600_000;
  await client.query(
    `update objects set writer_until = writer_until - $1, remove_after = remove_after - $1, forget_after = forget_after - $1
     where state <> 'stored'`,
    [ms],
  );
  await client.query('update uploads set expires_at = expires_at - $1', [ms]);
}

async function look(world: World, client: pg.Client): Promise<State> {
  // The bucket first: what is written meanwhile has its row before it, so a row can never be missing by accident.
  const [objects, unfinished] = await listBucket(world);
  const { rows } = await client.query<{ key: string; state: string }>('select key, state from objects');
  const uploads = await client.query('select 1 from uploads');
  return {
    objects,
    unfinished,
    rows: new Map(rows.map(({ key, state }) => [key, state])),
    uploads: uploads.rows.length,
  };
}

/** Everything, finished or not, but the file that readiness writes. */
async function listBucket({ s3, bucket, storageUrl }: World): Promise<[Set<string>, string[]]> {
  const prefix = `${new URL(storageUrl).pathname.slice(1)}/`;
  const objects = new Set<string>();
  let after: string | undefined;
  do {
    const page = await s3.client.send(new ListObjectsV2Command({ Bucket: bucket, ContinuationToken: after }));
    for (const { Key = '' } of page.Contents ?? []) objects.add(Key.replace(prefix, ''));
    after = page.NextContinuationToken;
  } while (after !== undefined);
  objects.delete('.check');
  const { Uploads = [] } = await s3.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return [objects, Uploads.map(({ Key = '' }) => Key.replace(prefix, ''))];
}

function findFaults({ rows, uploads, objects, unfinished }: State): string[] {
  const faults = unfinished.map((key) => `an unfinished upload of ${key} is in the bucket`);
  for (const key of objects) if (!rows.has(key)) faults.push(`object ${key} has no row`);
  for (const [key, state] of rows) {
    if (state !== 'stored') faults.push(`object ${key} is still ${state}`);
    else if (!objects.has(key)) faults.push(`object ${key} is stored and not in the bucket`);
  }
  if (uploads > 0) faults.push(`${uploads} uploads have not ended`);
  return faults;
}
