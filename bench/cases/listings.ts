import type { Case } from '../case.ts';
import { requestHead } from '../connection.ts';
import { runLoad } from '../load.ts';
import { repositoryOf } from '../push.ts';
import { digestOf, emptyIndex, type SeedItem, seedManifests, tagsPerPush } from '../seed.ts';
import { type Server, scopeOf } from '../servers.ts';

const pageSize = 100;
const note = 'the same for all';
const seedMs = 180_000;
/** A peer whose pages take seconds has been measured well enough by a short run. */
const listSeconds = 5;

type Listing = {
  id: string;
  sizes: number[];
  rowName: (size: number) => string;
  itemsOf: (from: number, to: number, tagsEach: number) => Iterable<SeedItem>;
  pathOf: (server: Server, last: number) => string;
  scopeOf: (server: Server) => string;
};

const tags: Listing = {
  id: 'tag-listing',
  sizes: [1_000, 10_000, 100_000],
  rowName: (size) => `tags page (n=${pageSize}) of ${size.toLocaleString('en')}: p99`,
  *itemsOf(from, to, tagsEach) {
    const digest = digestOf(emptyIndex(note).body);
    for (let at = from; at < to; at += tagsEach) {
      const names = Array.from({ length: Math.min(tagsEach, to - at) }, (_, index) => nameOf(at + index));
      const [only = ''] = names;
      const reference = tagsEach === 1 ? only : `${digest}?${names.map((name) => `tag=${name}`).join('&')}`;
      yield { repository: 'tagged', reference, note };
    }
  },
  pathOf: (server, last) => `/v2/${repositoryOf(server, 'tagged')}/tags/list?n=${pageSize}&last=${nameOf(last)}`,
  scopeOf: (server) => scopeOf(server, 'tagged'),
};

const catalog: Listing = {
  id: 'repository-listing',
  sizes: [1_000, 10_000, 50_000],
  rowName: (size) => `catalog page (n=${pageSize}) of ${size.toLocaleString('en')} repositories: p99`,
  *itemsOf(from, to) {
    for (let at = from; at < to; at++) yield { repository: nameOf(at), reference: 'latest', note };
  },
  pathOf: (server, last) => `/v2/_catalog?n=${pageSize}&last=${repositoryOf(server, nameOf(last))}`,
  scopeOf: () => 'registry:catalog:*',
};

function nameOf(index: number): string {
  return `t${String(index).padStart(6, '0')}`;
}

function caseOf(listing: Listing): Case {
  return {
    id: listing.id,
    once: true,
    rows: listing.sizes.map((size) => ({ name: listing.rowName(size), unit: 'ms', better: 'less' })),
    run: async (server, { seconds }, report) => {
      let seeded = 0;
      const tagsEach = await tagsPerPush(server);
      const until = performance.now() + seedMs;
      for (const size of listing.sizes) {
        if (!(await seedManifests(server, listing.itemsOf(seeded, size, tagsEach), until))) {
          report(listing.rowName(size), { value: Number.NaN, note: `not seeded in ${seedMs / 1000} s` });
          continue;
        }
        seeded = size;
        const headers = await server.authorize([listing.scopeOf(server)]);
        const load = await runLoad(server, {
          connections: 4,
          seconds: Math.min(seconds, listSeconds),
          // Scattered over the whole list, and the same places for each server.
          next: (count) => requestHead('GET', listing.pathOf(server, (count * 7919) % size), headers),
        });
        report(listing.rowName(size), { value: load.p99Ms, cpuMs: (load.serverCpuSeconds * 1000) / load.requests });
      }
    },
  };
}

export const tagListing = caseOf(tags);
export const repositoryListing = caseOf(catalog);
