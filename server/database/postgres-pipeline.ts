import { Client } from 'pg';
import { isConnectionLost, isSilence } from './postgres-errors.ts';
import {
  type Answer,
  type ClientOptions,
  clientConfig,
  isPlanOutdated,
  rethrow,
  run,
  type Statement,
} from './postgres-pool.ts';

/**
 * One connection for the few queries that every pull makes (`#core/prepared.ts`). What all requests ask in a turn of the
 * event loop goes out together, and none waits for the answer to another: this process and the server's are woken once
 * for many queries, and waking is most of what so small a query costs.
 */
export type Pipeline = {
  /** Undefined where a connection of a pool is to be asked, because this one is not there or has enough to do. */
  ask: <R>(statement: Statement) => Promise<Answer<R> | undefined>;
  /** As a pool says it: of one connection, on which nothing waits for a free one. */
  load: () => { totalCount: number; idleCount: number; waitingCount: number };
  end: () => Promise<void>;
};

type Line = { client: Client; pending: number; isCorked: boolean; isSilent: boolean };

/** Each waits for those before it: what one slow answer holds up must not be everything. */
const pendingMax = 100;
const reopenAfterMs = 1000;

export function openPipeline(url: string, options: ClientOptions): Pipeline {
  let line: Line | undefined;
  let isOpening = false;
  let isEnding = false;

  async function open(): Promise<void> {
    const client = new Client({ ...clientConfig(url, options), pipeline: true });
    const opened: Line = { client, pending: 0, isCorked: false, isSilent: false };
    client.on('error', () => leave(opened));
    client.on('end', () => leave(opened));
    isOpening = true;
    try {
      await client.connect();
      await client.query(options.settings.join(';'));
      isOpening = false;
      if (isEnding) await client.end();
      else line = opened;
    } catch {
      // What is wrong with the server is said by the pool that is asked instead.
      client.end().catch(() => {});
      setTimeout(() => {
        isOpening = false;
      }, reopenAfterMs).unref();
    }
  }

  function leave(left: Line): void {
    if (line === left) line = undefined;
  }

  return {
    async ask<R>(statement: Statement) {
      if (!line && !isOpening && !isEnding) void open();
      const asked = line;
      if (!asked || asked.pending >= pendingMax) return undefined;
      asked.pending++;
      try {
        sendTogether(asked);
        return await run<R>(asked.client, statement);
      } catch (error) {
        const isOutdated = isPlanOutdated(error);
        if (!isOutdated && !isConnectionLost(error)) return rethrow(error);
        leave(asked);
        if (isOutdated) asked.client.end().catch(() => {});
        // Silence has ended the connection under all the others: they have waited as long, and do not begin anew.
        asked.isSilent ||= isSilence(error);
        return asked.isSilent ? rethrow(error) : undefined;
      } finally {
        asked.pending--;
      }
    },
    load: () => ({ totalCount: line ? 1 : 0, idleCount: line?.pending === 0 ? 1 : 0, waitingCount: 0 }),
    async end() {
      isEnding = true;
      const left = line;
      line = undefined;
      await left?.client.end();
    },
  };
}

/** What is written until the end of this turn is one packet. */
function sendTogether(line: Line): void {
  if (line.isCorked) return;
  line.isCorked = true;
  const { stream } = line.client.connection;
  stream.cork();
  setImmediate(() => {
    line.isCorked = false;
    stream.uncork();
  });
}
