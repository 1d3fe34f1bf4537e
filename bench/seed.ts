import { createHash } from 'node:crypto';
import { connect, headerOf, requestHead } from './connection.ts';
import { eachOf, pushManifest, repositoryOf } from './push.ts';
import type { Server } from './servers.ts';

export const indexType = 'application/vnd.oci.image.index.v1+json';

/** A manifest without children: what a listing needs, at the price of one request. */
export function emptyIndex(note: string): { type: string; body: string } {
  const body = { schemaVersion: 2, mediaType: indexType, manifests: [], annotations: { note } };
  return { type: indexType, body: JSON.stringify(body) };
}

export type SeedItem = { repository: string; reference: string; note: string };

/** How many tags one PUT may set here: the distribution spec asks for ten where it can be done at all. */
export async function tagsPerPush(server: Server): Promise<number> {
  const connection = await connect(server.port);
  const { type, body } = emptyIndex('probe');
  const path = `/v2/${repositoryOf(server, 'probe')}/manifests/${digestOf(body)}?tag=probe`;
  const head = requestHead('PUT', path, {
    ...server.seedHeaders,
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
  });
  const reply = await connection.send(Buffer.concat([head, Buffer.from(body)]), 'keep');
  connection.close();
  return reply.status === 201 && headerOf(reply, 'oci-tag') !== undefined ? 10 : 1;
}

export function digestOf(body: string): string {
  return `sha256:${createHash('sha256').update(body).digest('hex')}`;
}

/** Pushes one manifest for each item. False if the time was over before: then the peer is left out from there on. */
export async function seedManifests(server: Server, items: Iterable<SeedItem>, untilMs: number): Promise<boolean> {
  const workers = await Promise.all(Array.from({ length: 16 }, () => connect(server.port)));
  let isDone = true;
  function* inTime() {
    for (const item of items) {
      if (performance.now() > untilMs) {
        isDone = false;
        return;
      }
      yield item;
    }
  }
  await eachOf(inTime(), workers, (item, worker) => {
    const manifest = emptyIndex(item.note);
    return pushManifest(worker, repositoryOf(server, item.repository), item.reference, manifest, server.seedHeaders);
  });
  for (const worker of workers) worker.close();
  return isDone;
}
