import type { Case, Row } from '../case.ts';
import { connect, requestHead } from '../connection.ts';
import { runLoad } from '../load.ts';
import { imageManifest, imageType, makeBlob, pushBlob, pushManifest, repositoryOf } from '../push.ts';
import { type Server, scopeOf } from '../servers.ts';

export const repository = 'manifests';
const variants = [
  { method: 'GET', by: 'tag' },
  { method: 'GET', by: 'digest' },
  { method: 'HEAD', by: 'tag' },
  { method: 'HEAD', by: 'digest' },
] as const;

function rowOf({ method, by }: (typeof variants)[number]): Row {
  const target = { 'docker-registry': 10, zot: 2 };
  return { name: `manifest ${method} by ${by}, 16 connections`, unit: 'req/s', better: 'more', target };
}

export const manifests: Case = {
  id: 'manifests',
  rows: variants.map(rowOf),
  run: async (server, { seconds }, report) => {
    const references = await seedImage(server);
    for (const variant of variants) {
      const headers = { ...(await server.authorize([scopeOf(server, repository)])), Accept: imageType };
      const path = `/v2/${repositoryOf(server, repository)}/manifests/${references[variant.by]}`;
      const request = requestHead(variant.method, path, headers);
      const load = await runLoad(server, {
        connections: 16,
        seconds,
        next: () => request,
        wants: variant.method === 'HEAD' ? 'none' : 'drop',
      });
      report(rowOf(variant).name, {
        value: load.requests / load.seconds,
        cpuMs: (load.serverCpuSeconds * 1000) / load.requests,
        p99Ms: load.p99Ms,
        note: `client ${Math.round((load.clientCpuSeconds / load.seconds) * 100)} % of a core`,
      });
    }
  },
};

export async function seedImage(server: Server): Promise<{ tag: string; digest: string }> {
  const headers = await server.authorize([scopeOf(server, repository)]);
  const connection = await connect(server.port);
  const name = repositoryOf(server, repository);
  const blobs = Array.from({ length: 11 }, (_, index) => makeBlob(1000 + index));
  for (const blob of blobs) await pushBlob(connection, name, blob, headers);
  const [config, ...layers] = blobs;
  if (config === undefined) throw new Error('an image needs a config');
  const digest = await pushManifest(connection, name, 'latest', imageManifest(config, layers), headers);
  connection.close();
  return { tag: 'latest', digest };
}
