import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { isConnectionLost, isSilence } from './postgres-errors.ts';
import { type Answer, type ClientOptions, clientConfig, rethrow, run, type Statement } from './postgres-pool.ts';

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

type Line = { client: Client; pending: number; waitingSince: number; isCorked: boolean; isSilent: boolean };

/** Each waits for those before it: what one slow answer holds up must not be everything. */
const pendingMax = 100;
const stuckAfterMs = 1000;
/** Between two tries to open one. */
const reopenAfterMs = 1000;
const endMs = 5000;

/** Kept statements that this connection cannot go on with: outdated plans, and those whose parsing has failed. */
const spoilt = /^(?:0A000|26000|42P05)$/;

export function openPipeline(url: string, options: ClientOptions): Pipeline {
  let line: Line | undefined;
  let opening: Promise<void> | undefined;
  let triedAt = Number.NEGATIVE_INFINITY;
  let isEnding = false;

  /** Never rejects: what is wrong with the server is said by the pool that is asked instead. */
  async function open(): Promise<void> {
    let client: Client | undefined;
    try {
      client = new Client({ ...clientConfig(url, options), pipeline: true });
      const opened: Line = { client, pending: 0, waitingSince: 0, isCorked: false, isSilent: false };
      client.on('error', () => leave(opened));
      client.on('end', () => leave(opened));
      await client.connect();
      await client.query(options.settings.join(';'));
      line = opened;
    } catch {
      if (client) void close(client);
    }
  }

  function leave(left: Line): void {
    if (line !== left) return;
    line = undefined;
    void close(left.client);
  }

  function reopen(now: number): void {
    if (line || isEnding || now - triedAt < reopenAfterMs) return;
    triedAt = now;
    opening = open();
  }

  return {
    async ask<R>(statement: Statement) {
      const now = performance.now();
      reopen(now);
      const asked = line;
      if (!asked || asked.pending >= pendingMax) return undefined;
      if (asked.pending === 0) asked.waitingSince = now;
      else if (now - asked.waitingSince > stuckAfterMs) return undefined;
      asked.pending++;
      try {
        sendTogether(asked);
        return await run<R>(asked.client, statement);
      } catch (error) {
        if (!isConnectionLost(error) && !spoilt.test(String((error as { code?: unknown }).code))) return rethrow(error);
        leave(asked);
        // Silence has ended the connection for those behind it, too. They are not asked again: it would cost each as much.
        asked.isSilent ||= isSilence(error);
        return asked.isSilent ? rethrow(error) : undefined;
      } finally {
        asked.pending--;
        asked.waitingSince = performance.now();
      }
    },
    load: () => ({ totalCount: line ? 1 : 0, idleCount: line?.pending === 0 ? 1 : 0, waitingCount: 0 }),
    async end() {
      isEnding = true;
      await opening;
      const left = line;
      line = undefined;
      if (left) await close(left.client);
    },
  };
}

/** Answers that are under way still come; a server that is gone is not waited for. */
async function close(client: Client): Promise<void> {
  const ended = client.end().catch(() => {});
  await Promise.race([ended, delay(endMs, undefined, { ref: false })]);
  client.connection.stream.destroy();
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
