import { connect } from './connection.ts';
import { eachOf, pushManifest, repositoryOf } from './push.ts';
import type { Server } from './servers.ts';

export const indexType = 'application/vnd.oci.image.index.v1+json';

/** A manifest without children: what a listing needs, at the price of one request. */
export function emptyIndex(note: string): { type: string; body: string } {
  const body = { schemaVersion: 2, mediaType: indexType, manifests: [], annotations: { note } };
  return { type: indexType, body: JSON.stringify(body) };
}

export type SeedItem = { repository: string; reference: string; note: string };

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
