import { randomBytes } from 'node:crypto';
import { digestOf } from '../crash/push.ts';
import { pause } from '../servers/child.ts';
import type { Replica } from '../servers/replicas.ts';

const rowWanted = 3;
const attemptMs = 5_000;
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
