import { randomBytes } from 'node:crypto';
import { digestOf } from '../crash/push.ts';
import { pause } from '../servers/child.ts';
import type { Replica } from '../servers/replicas.ts';

const rowWanted = 3;
const attemptMs = 20_000;
const pauseMs = 100;
const longestMs = 120_000;

/**
 * When (`performance.now`) this replica first took a push and gave it back, asked directly, with several good answers
 * in a row from then on. Undefined: not within two minutes.
 */
export async function findRecovery({ url }: Replica, authorization: string): Promise<number | undefined> {
  const deadline = performance.now() + longestMs;
  let row = 0;
  let since = performance.now();
  while (row < rowWanted) {
    const began = performance.now();
    if (began > deadline) return undefined;
    const isGood = await pushAndPull(url, authorization).catch(() => false);
    if (isGood && row === 0) since = performance.now();
    row = isGood ? row + 1 : 0;
    await pause(pauseMs);
  }
  return since;
}

async function pushAndPull(url: string, authorization: string): Promise<boolean> {
  const bytes = randomBytes(2_000);
  const digest = digestOf(bytes);
  const options = { headers: { authorization }, signal: AbortSignal.timeout(attemptMs) };
  const pushed = await fetch(`${url}/v2/default/faults/probe/blobs/uploads/?digest=${digest}`, {
    ...options,
    method: 'POST',
    body: bytes,
  });
  await pushed.arrayBuffer();
  if (pushed.status !== 201) return false;
  const pulled = await fetch(`${url}/v2/default/faults/probe/blobs/${digest}`, options);
  return pulled.status === 200 && digestOf(Buffer.from(await pulled.arrayBuffer())) === digest;
}

/** How long after now the first of them says that it is not ready, if one does until `stop`. */
export function watchReadiness(replicas: readonly Replica[]): { stop: () => Promise<number | undefined> } {
  const began = performance.now();
  let redMs: number | undefined;
  let isOver = false;
  const loop = async ({ url }: Replica) => {
    for (; !isOver && redMs === undefined; await pause(250)) {
      const status = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(attemptMs) }).then(
        (answer) => answer.status,
        () => undefined,
      );
      // One that was killed does not answer at all.
      if (status === 503) redMs ??= performance.now() - began;
    }
  };
  const loops = replicas.map(loop);
  return {
    async stop() {
      isOver = true;
      await Promise.all(loops);
      return redMs;
    },
  };
}
