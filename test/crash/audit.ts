import { randomInt } from 'node:crypto';
import type { Found, Ledger } from './ledger.ts';
import { digestOf } from './push.ts';

export type Reader = { url: string; authorization: string };
type Answer = { status: number; bytes: Buffer; digest: string | null };

const PARALLEL = 8;

async function get({ url, authorization }: Reader, path: string): Promise<Answer> {
  const answer = await fetch(new URL(path, url), { headers: { authorization } });
  const bytes = Buffer.from(await answer.arrayBuffer());
  return { status: answer.status, bytes, digest: answer.headers.get('docker-content-digest') };
}

/** Runs the checks a few at a time; all faults they find. */
async function inParallel<T>(items: T[], check: (item: T) => Promise<string | undefined>): Promise<string[]> {
  const faults: string[] = [];
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) {
      const fault = await check(item);
      if (fault !== undefined) faults.push(fault);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return faults;
}

function split(id: string, separator: string): [string, string] {
  const at = id.indexOf(separator);
  return [id.slice(0, at), id.slice(at + 1)];
}

/** Every acknowledged blob is there byte for byte, every other one is there whole or not at all. */
export function checkBlobs(reader: Reader, ids: string[], { blobs }: Ledger): Promise<string[]> {
  return inParallel(ids, async (id) => {
    const [repository, digest] = split(id, '@');
    const { status, bytes } = await get(reader, `/v2/${repository}/blobs/${digest}`);
    if (status === 404) return blobs.get(id) ? `LOST blob ${id}` : undefined;
    if (status !== 200) return `blob ${id}: ${status} ${bytes}`;
    return digestOf(bytes) === digest ? undefined : `blob ${id} has other bytes`;
  });
}

/** The same for manifests; one that is there has all its parts, acknowledged or not. */
export function checkManifests(reader: Reader, ids: string[], { manifests }: Ledger): Promise<string[]> {
  return inParallel(ids, async (id) => {
    const [repository, digest] = split(id, '@');
    const entry = manifests.get(id);
    const { status, bytes } = await get(reader, `/v2/${repository}/manifests/${digest}`);
    if (status === 404) return entry?.isAcknowledged ? `LOST manifest ${id}` : undefined;
    if (status !== 200) return `manifest ${id}: ${status} ${bytes}`;
    if (bytes.toString() !== entry?.bytes) return `manifest ${id} has other bytes`;
    for (const child of entry.needs) {
      const part = await get(reader, `/v2/${repository}/blobs/${child}`);
      if (part.status !== 200 || digestOf(part.bytes) !== child) return `manifest ${id} lacks ${child}: ${part.status}`;
    }
    return undefined;
  });
}

/** A tag names what it was last said to name, or what was asked for after that. What it names now is certain from here on. */
export function checkTags(reader: Reader, ids: string[], { tags }: Ledger): Promise<string[]> {
  return inParallel(ids, async (id) => {
    const [repository, tag] = split(id, ':');
    const { status, digest, bytes } = await get(reader, `/v2/${repository}/manifests/${tag}`);
    const found: Found = status === 200 ? (digest ?? '') : undefined;
    const possible = tags.get(id) ?? new Set();
    if (status !== 200 && status !== 404) return `tag ${id}: ${status} ${bytes}`;
    if (!possible.has(found)) return `LOST tag ${id}: names ${found}, should name ${[...possible].join(' or ')}`;
    tags.set(id, new Set([found]));
    return undefined;
  });
}

/** An upload that was open at the crash still has every chunk that was acknowledged, and can be finished. */
export function checkSessions(reader: Reader, ledger: Ledger): Promise<string[]> {
  return inParallel([...ledger.sessions], async ([id, { location, bytes, digest, acknowledged }]) => {
    ledger.sessions.delete(id);
    const headers = { authorization: reader.authorization };
    const status = await fetch(new URL(location, reader.url), { headers });
    await status.arrayBuffer();
    if (status.status !== 204) return `LOST upload ${id} with ${acknowledged} bytes: status ${status.status}`;
    const end = Number(status.headers.get('range')?.split('-')[1] ?? Number.NaN);
    const offset = acknowledged === 0 && end === 0 ? 0 : end + 1;
    if (!(offset >= acknowledged)) return `LOST bytes of upload ${id}: ${acknowledged} acknowledged, ${offset} there`;
    const at = new URL(status.headers.get('location') ?? location, reader.url);
    at.searchParams.set('digest', digest);
    const end201 = await fetch(at, { method: 'PUT', headers, body: bytes.subarray(offset) } as RequestInit);
    const text = await end201.text();
    if (end201.status !== 201) return `upload ${id} cannot be finished: ${end201.status} ${text}`;
    ledger.blobs.set(id, true);
    return undefined;
  });
}

/** The `count` newest of each kind and half as many of the others: all that was ever pushed would be too much each time. */
export async function checkSome(reader: Reader, ledger: Ledger, count: number): Promise<string[]> {
  const pick = (ids: Iterable<string>) => {
    const all = [...ids];
    const others = Array.from({ length: count / 2 }, () => all[randomInt(Math.max(1, all.length))]);
    return [...new Set([...all.slice(-count), ...others.filter((id) => id !== undefined)])];
  };
  // A tag that may name several things has to be looked at before it moves again.
  const undecided = [...ledger.tags].filter(([, possible]) => possible.size > 1).map(([id]) => id);
  const faults = [
    await checkBlobs(reader, pick(ledger.blobs.keys()), ledger),
    await checkManifests(reader, pick(ledger.manifests.keys()), ledger),
    await checkTags(reader, [...undecided, ...pick(ledger.tags.keys())], ledger),
  ];
  return faults.flat();
}
