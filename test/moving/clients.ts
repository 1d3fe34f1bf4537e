import { randomBytes, randomInt } from 'node:crypto';
import { checkBlobs, checkManifests, checkSessions, checkTags, type Reader } from '../crash/audit.ts';
import { bearer, keepCollecting, keepDeleting } from '../crash/collecting.ts';
import { expectBlob, expectManifest, type Ledger } from '../crash/ledger.ts';
import { digestOf, isRefusal, pushImage } from '../crash/push.ts';
import type { Lading } from '../servers/lading.ts';

// Clients that push, delete and collect all the time, and what they were told: as in the crash run.

const REPOSITORIES = ['default/moving/a', 'default/moving/b', 'default/moving/c'];
const SHARED = 'default/moving/shared';

let round = 0;

/** Pushes until so many whole images were acknowledged, and goes on until it is told to stop. Answers what went wrong. */
export function startClients(lading: Lading, ledger: Ledger, { pushers = 6, deletes = true } = {}) {
  const stopping = new AbortController();
  const never = new AbortController().signal;
  const client = {
    url: lading.url,
    authorization: basic(lading.key),
    // Each request that was begun is ended, so that the ledger is sure of it.
    signal: never,
    stopping: stopping.signal,
    ledger,
  };
  const faults: string[] = [];
  round += 1;
  const push = async (index: number) => {
    const repository = `${REPOSITORIES[index % REPOSITORIES.length]}`;
    for (let n = 0; !stopping.signal.aborted; n += 1) {
      try {
        await pushImage(client, repository, SHARED, `r${round}-c${index}-p${n}`, `moving-${index}`);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        faults.push(String(error));
      }
    }
  };
  const work = [
    ...Array.from({ length: pushers }, (_, index) => push(index)),
    ...(deletes ? [keepDeleting(client), keepCollecting({ ...client, authorization: bearer(lading.key) })] : []),
  ];
  return {
    stop: async (): Promise<string[]> => {
      stopping.abort();
      const others = await Promise.all(work);
      return [...faults, ...others.flat().filter((fault) => fault !== undefined)] as string[];
    },
  };
}

/** Many small images at once, with a request for each blob and manifest. */
export async function seedImages(lading: Lading, ledger: Ledger, count: number): Promise<void> {
  const headers = { authorization: basic(lading.key) };
  const send = async (method: string, path: string, body: Buffer | string, type = 'application/octet-stream') => {
    const answer = await fetch(new URL(path, lading.url), {
      method,
      headers: { ...headers, 'content-type': type },
      body,
    } as RequestInit);
    const text = await answer.text();
    if (answer.status !== 201) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  };
  const describe = (bytes: Buffer, mediaType: string) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
  const seed = async (n: number) => {
    const repository = `default/seeded/${n % 20}`;
    const [config, layer] = [Buffer.from(JSON.stringify({ n })), randomBytes(randomInt(100, 60_000))];
    for (const bytes of [config, layer]) {
      const arrived = expectBlob(ledger, repository, digestOf(bytes));
      await send('POST', `/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`, bytes);
      arrived();
    }
    const parts = { config: describe(config, configType), layers: [describe(layer, layerType)] };
    const bytes = JSON.stringify({ schemaVersion: 2, mediaType: manifestType, ...parts });
    const needs = [digestOf(config), digestOf(layer)];
    const arrived = expectManifest(ledger, repository, { digest: digestOf(bytes), bytes, needs }, `v${n}`);
    await send('PUT', `/v2/${repository}/manifests/v${n}`, bytes, manifestType);
    arrived();
    ledger.pushes += 1;
  };
  let next = 0;
  const worker = async () => {
    while (next < count) await seed(next++);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.oci.image.layer.v1.tar';

/** Everything that was acknowledged, byte for byte. */
export async function checkAll(lading: Lading, ledger: Ledger): Promise<string[]> {
  const reader: Reader = { url: lading.url, authorization: basic(lading.key) };
  return [
    await checkSessions(reader, ledger),
    await checkBlobs(reader, [...ledger.blobs.keys()], ledger),
    await checkManifests(reader, [...ledger.manifests.keys()], ledger),
    await checkTags(reader, [...ledger.tags.keys()], ledger),
  ].flat();
}

/** What was there at an earlier moment and was not touched since: the rest may be one or the other in a copy of between. */
export function untouchedSince(earlier: Ledger, now: Ledger): Ledger {
  const ledger = structuredClone(now);
  for (const [id] of ledger.blobs) if (!(earlier.blobs.get(id) && now.blobs.get(id))) ledger.blobs.delete(id);
  for (const [id, { isAcknowledged }] of ledger.manifests) {
    if (!isAcknowledged || !earlier.manifests.get(id)?.isAcknowledged) ledger.manifests.delete(id);
  }
  for (const [id, possible] of ledger.tags) {
    const before = earlier.tags.get(id) ?? new Set();
    const isSure = possible.size === 1 && before.size === 1 && [...possible][0] === [...before][0];
    if (!isSure || id.includes(':moving-')) ledger.tags.delete(id);
  }
  ledger.sessions.clear();
  return ledger;
}

const basic = (key: string) => `Basic ${Buffer.from(`moving:${key}`).toString('base64')}`;
