import { Failure } from '#core/failure.ts';
import { connectPostgres } from './snapshot.ts';

/** Held as long as its connection lives, so a killed process holds nothing. */
export type CopyLock = { release(): Promise<void> };

/** One copy at a time into a Postgres database. Throws `conflict`. */
export async function takeCopyLock(url: string, urlName?: string): Promise<CopyLock> {
  const client = await connectPostgres(url, urlName);
  const { rows } = await client.query(
    `select pg_try_advisory_lock(hashtext('lading copy'), hashtext(current_schema())) as taken`,
  );
  if (rows[0]?.taken !== true) {
    await client.end();
    throw new Failure('conflict', 'Another copy into the target database is at work. Wait for its end, or stop it.');
  }
  return { release: () => client.end().catch(() => {}) };
}

/** Whether programs of ours have the database open, as far as this user may see. */
export async function hasOtherSessions(url: string): Promise<boolean> {
  const client = await connectPostgres(url);
  try {
    const { rows } = await client.query(
      `select count(*) as n from pg_stat_activity where datname = current_database() and application_name = 'lading'`,
    );
    return rows[0]?.n > 0;
  } finally {
    await client.end();
  }
}
