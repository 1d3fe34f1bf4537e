import { type ClientBase, Pool, type PoolClient, type PoolConfig, types } from 'pg';
import { isConnectionLost, isSilence, translatePostgresError } from './postgres-errors.ts';

export type ClientOptions = {
  /** How long a request waits for a connection. */
  acquireTimeoutMs: number;
  /** Statements that every connection begins with. */
  settings: readonly string[];
  /** How long a silent server is waited for; the server's own `statement_timeout` is shorter. None: for ever. */
  silenceMs?: number;
};

export type PoolOptions = ClientOptions & {
  max: number;
  onConnect?: (client: ClientBase) => Promise<void>;
};

/** `name`: the server keeps the statement under it, parsed and planned, as long as the connection lives. */
export type Statement = { text: string; values: readonly unknown[]; name?: string | undefined };
export type Answer<R> = { rows: R[]; rowCount: number | null; command: string };

// Sizes and milliseconds fit into a double; `pg` hands int8 and numeric out as strings to be safe for all programs.
const asNumber = new Set<number>([types.builtins.INT8, types.builtins.NUMERIC]);
const typeParsers: NonNullable<PoolConfig['types']> = {
  getTypeParser: ((oid: number, format: 'text' | 'binary') =>
    asNumber.has(oid) ? Number : types.getTypeParser(oid, format)) as typeof types.getTypeParser,
};

/** What every connection to this server has in common. */
export const connectionTo = (url: string) => ({
  connectionString: toStrictUrl(url),
  keepAlive: true,
  types: typeParsers,
});

/** What those of a pool have besides. */
export const clientConfig = (url: string, { acquireTimeoutMs, silenceMs }: ClientOptions) => ({
  ...connectionTo(url),
  connectionTimeoutMillis: acquireTimeoutMs,
  keepAliveInitialDelayMillis: 10_000,
  // A machine that is gone says nothing, and the kernel tries it for a quarter of an hour.
  ...(silenceMs !== undefined && { query_timeout: silenceMs }),
  application_name: 'lading',
});

export function openPool(url: string, { max, onConnect, ...options }: PoolOptions): Pool {
  const pool = new Pool({
    ...clientConfig(url, options),
    max,
    idleTimeoutMillis: 60_000,
    onConnect: (async (client: ClientBase) => {
      await client.query(options.settings.join(';'));
      await onConnect?.(client);
    }) as (client: ClientBase) => void,
  });
  // Connections die when the server restarts. Without listeners the event would end the process; the next query says it.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/**
 * `pg` checks the server's certificate and name in each of these modes, and warns that it will not for ever. Said as what it
 * is, it stays so. libpq's own meaning is had with `uselibpqcompat=true`.
 */
function toStrictUrl(text: string): string {
  const url = new URL(text);
  // By our name a copy knows servers at work, and what stands in the URL would count more than what we say.
  const isNamed = url.searchParams.has('application_name') || url.searchParams.has('fallback_application_name');
  url.searchParams.delete('application_name');
  url.searchParams.delete('fallback_application_name');
  const mode = url.searchParams.get('sslmode') ?? '';
  if (!/^(?:prefer|require|verify-ca)$/.test(mode) || url.searchParams.has('uselibpqcompat'))
    return isNamed ? url.href : text;
  url.searchParams.set('sslmode', 'verify-full');
  return url.href;
}

/** Connections that have served before: such a one may have died unnoticed, a new one was alive a moment ago. */
const served = new WeakSet<PoolClient>();

export async function takeConnection(pool: Pool): Promise<{ client: PoolClient; isNew: boolean }> {
  const client = await pool.connect().catch(rethrow);
  const isNew = !served.has(client);
  served.add(client);
  return { client, isNew };
}

/**
 * Does what may be done twice (a statement that only reads, the beginning of a transaction) on a connection of the pool,
 * and answers with that connection. Each old connection that turns out to be dead costs one more try, and so does the
 * first new one: after a restart of the server nobody notices that the pool was full of dead ones. A server that cannot be
 * connected to is said at once, and so is one that is silent: each of its connections would be waited for as long again.
 */
export async function tryOnLiving<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<[T, PoolClient]> {
  for (let tries = 1; ; tries++) {
    const { client, isNew } = await takeConnection(pool);
    try {
      return [await work(client), client];
    } catch (error) {
      const isUseless = isConnectionLost(error) || isPlanOutdated(error);
      client.release(isUseless);
      if (!isUseless || isSilence(error) || (isNew && tries > 1)) rethrow(error);
    }
  }
}

/** A kept statement whose tables another release has changed meanwhile: a new connection plans it anew. */
const isPlanOutdated = (error: unknown) => (error as { code?: unknown }).code === '0A000';

export async function run<R>(runner: Pool | ClientBase, { text, values, name }: Statement): Promise<Answer<R>> {
  const query = { text, values: [...values], ...(name !== undefined && { name }) };
  return (await runner.query(query)) as unknown as Answer<R>;
}

export function rethrow(error: unknown): never {
  throw translatePostgresError(error);
}
