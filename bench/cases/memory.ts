import { setTimeout as delay } from 'node:timers/promises';
import type { Case } from '../case.ts';
import { connect } from '../connection.ts';
import { forgetPeak, peakResidentMiB, residentMiB } from '../processes.ts';
import { makeBlob, pushBlob, repositoryOf } from '../push.ts';
import { seedManifests } from '../seed.ts';
import { scopeOf } from '../servers.ts';

const mib = 1024 * 1024;
const pushers = 200;
const repository = 'memory';
const sizesMiB = [16, 64];
const manifestCount = 100_000;
const repositoryCount = 1_000;
const seedMs = 180_000;

const peakName = (sizeMiB: number) => `peak RSS, ${pushers} concurrent pushes of ${sizeMiB} MiB`;
const startName = 'start-up with 100,000 manifests';
const idleName = 'idle RSS with 100,000 manifests';

export const pushMemory: Case = {
  id: 'push-memory',
  once: true,
  rows: sizesMiB.map((size) => ({ name: peakName(size), unit: 'MiB', better: 'less', limit: 400 })),
  run: async (server, _settings, report) => {
    for (const size of sizesMiB) {
      const headers = await server.authorize([scopeOf(server, repository)]);
      const blobs = Array.from({ length: pushers }, () => makeBlob(size * mib));
      const connections = await Promise.all(blobs.map(() => connect(server.port)));
      forgetPeak(server.pid);
      const started = performance.now();
      // Half of them stream without a length, as docker does; the others say it, as containerd does.
      await Promise.all(
        connections.map(async (connection, index) => {
          const blob = blobs[index] ?? makeBlob(size * mib);
          await pushBlob(
            connection,
            repositoryOf(server, repository),
            blob,
            headers,
            index % 2 === 0 ? 'put' : 'patch',
          );
          connection.close();
        }),
      );
      const seconds = (performance.now() - started) / 1000;
      const rate = Math.round((pushers * size) / seconds);
      report(peakName(size), { value: peakResidentMiB(server.pid), note: `${rate} MiB/s` });
    }
  },
};

export const manyManifests: Case = {
  id: 'many-manifests',
  once: true,
  rows: [
    { name: startName, unit: 'ms', better: 'less' },
    { name: idleName, unit: 'MiB', better: 'less' },
  ],
  run: async (server, _settings, report) => {
    const isSeeded = await seedManifests(server, manifestItems(), performance.now() + seedMs);
    if (!isSeeded) {
      const note = `not seeded in ${seedMs / 1000} s`;
      for (const name of [startName, idleName]) report(name, { value: Number.NaN, note });
      return;
    }
    const again = await server.restart();
    report(startName, { value: again.startMs });
    await delay(3000);
    report(idleName, { value: residentMiB(again.pid) });
    await again.stop();
  },
};

function* manifestItems() {
  for (let at = 0; at < manifestCount; at++) {
    yield { repository: `many/r${at % repositoryCount}`, reference: `v${at}`, note: `manifest ${at}` };
  }
}
