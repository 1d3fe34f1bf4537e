import type { Case, Sample } from '../case.ts';
import { type Connection, connect, requestHead } from '../connection.ts';
import { measure, median, type Span } from '../load.ts';
import { dropFromMemory } from '../machine.ts';
import {
  type Blob,
  eachOf,
  expect,
  imageManifest,
  imageType,
  makeBlob,
  pushBlob,
  pushManifest,
  repositoryOf,
} from '../push.ts';
import { type Server, scopeOf } from '../servers.ts';

const repository = 'images';
const layerBytes = 5 * 1024 * 1024;
const push = 'image push, 20 layers of 5 MiB, 4 at a time';
const pull = 'image pull, 20 layers of 5 MiB, 4 at a time';

type Session = { server: Server; name: string; headers: Record<string, string>; workers: Connection[] };

export const images: Case = {
  id: 'images',
  rows: [push, pull].map((name) => ({ name, unit: 'images/s', better: 'more', target: { best: 1 } })),
  run: async (server, { seconds }, report) => {
    const pushes: Span[] = [];
    const pulls: Span[] = [];
    for (let spent = 0; spent < seconds || pushes.length < 3; ) {
      // The next image is made outside the clock: its hashing is the client's work.
      const blobs = Array.from({ length: 21 }, (_, index) => makeBlob(index === 0 ? 2000 : layerBytes));
      const headers = await server.authorize([scopeOf(server, repository)]);
      const workers = await Promise.all([1, 2, 3, 4].map(() => connect(server.port)));
      const session = { server, name: repositoryOf(server, repository), headers, workers };
      const tag = `v${pushes.length}`;
      pushes.push(await measure(server, () => pushImage(session, tag, blobs)));
      pulls.push(await measure(server, () => pullImage(session, tag, blobs)));
      for (const worker of workers) worker.close();
      dropFromMemory(server.dataDir);
      spent += (pushes.at(-1)?.seconds ?? 0) + (pulls.at(-1)?.seconds ?? 0);
    }
    report(push, sampleOf(pushes));
    report(pull, sampleOf(pulls));
  },
};

/** As the usual clients do it: ask for each blob first, push what is missing, the manifest last. */
async function pushImage({ name, headers, workers }: Session, tag: string, blobs: Blob[]): Promise<void> {
  await eachOf(blobs, workers, async (blob, worker) => {
    const head = requestHead('HEAD', `/v2/${name}/blobs/${blob.digest}`, headers);
    expect(await worker.send(head, 'none'), 404, 'HEAD of a new blob');
    await pushBlob(worker, name, blob, headers);
  });
  const [config, ...layers] = blobs;
  const [worker] = workers;
  if (config === undefined || worker === undefined) throw new Error('an image needs a config and a connection');
  await pushManifest(worker, name, tag, imageManifest(config, layers), headers);
}

async function pullImage({ name, headers, workers }: Session, tag: string, blobs: Blob[]): Promise<void> {
  const [worker] = workers;
  const manifest = requestHead('GET', `/v2/${name}/manifests/${tag}`, { ...headers, Accept: imageType });
  if (worker !== undefined) expect(await worker.send(manifest), 200, 'GET of a manifest');
  await eachOf(blobs, workers, async (blob, each) => {
    const reply = await each.send(requestHead('GET', `/v2/${name}/blobs/${blob.digest}`, headers));
    if (expect(reply, 200, 'GET of a blob').bodyBytes !== blob.size) throw new Error('a blob came back cut');
  });
}

function sampleOf(spans: Span[]): Sample {
  const cpu = spans.reduce((total, span) => total + span.serverCpuSeconds, 0);
  return { value: 1 / median(spans.map((span) => span.seconds)), cpuMs: (cpu * 1000) / spans.length };
}
