// What goes on beside the pushes where collections are to be killed: images are deleted, and garbage is collected again
// and again, untagged images included.

import { randomInt } from 'node:crypto';
import { pause } from '../servers/child.ts';
import type { Ledger } from './ledger.ts';
import type { Client } from './push.ts';

/** `stopping` ends it between two requests, `signal` in the middle of one. */
type Asking = Pick<Client, 'url' | 'authorization' | 'signal' | 'isBalanced'> & { stopping: AbortSignal };

const unknownOutcomes = [502, 503, 504];

async function ask({ url, authorization, signal, isBalanced }: Asking, method: string, path: string, body?: object) {
  const answer = await fetch(new URL(path, url), {
    method,
    headers: { authorization, ...(body && { 'content-type': 'application/json' }) },
    signal,
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (isBalanced && unknownOutcomes.includes(answer.status)) throw new Error(`${answer.status} ${text}`);
  return { status: answer.status, text };
}

/** The management API takes keys as Bearer tokens. */
export const bearer = (key: string) => `Bearer ${key}`;

/** Deletes acknowledged images, one after the other. What was only asked for may be there or not; what was answered is gone. */
export async function keepDeleting(client: Client & Asking): Promise<string[]> {
  const faults: string[] = [];
  while (!client.stopping.aborted) {
    const id = pickImage(client.ledger);
    if (id === undefined) {
      await pause(20);
      continue;
    }
    const [repository = '', digest = ''] = id.split('@');
    doubtImage(client.ledger, repository, digest);
    try {
      const path = `/v2/${repository}/manifests/${digest}`;
      const { status, text } = await ask(client, 'DELETE', path);
      const isGone = client.isBalanced && status === 404 && (await ask(client, 'GET', path)).status === 404;
      if (status !== 202 && !isGone) faults.push(`DELETE of ${id}: ${status} ${text}`);
      client.ledger.manifests.delete(id);
    } catch {
      // The connection broke: that was the kill.
      if (!client.isBalanced) return faults;
      await pause(50);
    }
  }
  return faults;
}

/** One that no tag moves to any more. */
function pickImage({ manifests, tags }: Ledger): string | undefined {
  const moving = new Set([...tags].filter(([id]) => id.includes(':moving-')).flatMap(([, possible]) => [...possible]));
  const free = [...manifests].filter(([id, entry]) => {
    const digest = id.split('@')[1] ?? '';
    // Half of them stay for good: they have to be found again after every collection.
    return entry.isAcknowledged && /[02468ace]$/.test(digest) && !moving.has(digest);
  });
  return free[randomInt(Math.max(free.length, 1))]?.[0];
}

function doubtImage({ manifests, tags, blobs }: Ledger, repository: string, digest: string): void {
  const entry = manifests.get(`${repository}@${digest}`);
  if (!entry) return;
  entry.isAcknowledged = false;
  for (const child of entry.needs) blobs.set(`${repository}@${child}`, false);
  for (const [id, possible] of tags) {
    if (id.startsWith(`${repository}:`) && possible.has(digest)) possible.add(undefined);
  }
}

/** Asks for a collection as soon as none runs. */
export async function keepCollecting(asking: Asking): Promise<string[]> {
  const faults: string[] = [];
  while (!asking.stopping.aborted) {
    try {
      const path = '/lading/v1/registries/default/garbage-collection';
      const { status, text } = await ask(asking, 'POST', path, { deleteUntagged: true });
      if (status !== 202 && status !== 409) faults.push(`start of a collection: ${status} ${text}`);
    } catch {
      if (!asking.isBalanced) return faults;
    }
    await pause(20);
  }
  return faults;
}

/** Waits until one runs, then a moment of it. */
export async function waitForCollection(isCollecting: () => Promise<boolean>, longestMs: number): Promise<void> {
  const deadline = Date.now() + longestMs;
  while (!(await isCollecting()) && Date.now() < deadline) await pause(1);
  await pause(randomInt(0, 25));
}

/** Collects to the end: what was killed goes on by itself, then once more for what came behind its back. */
export async function collectToTheEnd(asking: Asking): Promise<string[]> {
  const path = '/lading/v1/registries/default/garbage-collection';
  const deadline = Date.now() + 180_000;
  for (let wanted = 2; wanted > 0; ) {
    const { status } = await ask(asking, 'POST', path, { deleteUntagged: true });
    if (status === 202) wanted--;
    else if (Date.now() > deadline) return ['a collection that was killed never came to its end'];
    await pause(200);
  }
  for (;;) {
    const { text } = await ask(asking, 'GET', '/lading/v1/registries/default');
    if (JSON.parse(text).status === 'active') break;
    if (Date.now() > deadline) return ['the last collection never came to its end'];
    await pause(200);
  }
  const { unreferencedBytes, untaggedBytes } = JSON.parse((await ask(asking, 'GET', path)).text);
  return unreferencedBytes + untaggedBytes === 0
    ? []
    : [`${unreferencedBytes + untaggedBytes} bytes were left uncollected`];
}
