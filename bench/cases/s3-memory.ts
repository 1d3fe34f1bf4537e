import { type Case, onS3 } from '../case.ts';
import { connect } from '../connection.ts';
import { dropFromMemory } from '../machine.ts';
import { forgetPeak, peakResidentMiB } from '../processes.ts';
import { makeBlob } from '../push.ts';
import { readyPush } from '../s3-blobs.ts';

const pushers = 50;
const sizeMiB = 100;
const peak = `S3: peak RSS, ${pushers} concurrent pushes of ${sizeMiB} MiB`;

export const s3Memory: Case = {
  id: 's3-memory',
  lineup: onS3,
  once: true,
  leaveOut: { S3: 'what it takes is its own affair', 'docker-registry on S3': 'it takes more than ten minutes' },
  rows: [{ name: peak, unit: 'MiB', better: 'less', limit: 400 }],
  run: async (server, _settings, report) => {
    // Half of them stream without a length, as docker does; the others say it, as containerd does.
    const blobs = Array.from({ length: pushers }, () => makeBlob(sizeMiB * 1024 * 1024));
    const pushes = await Promise.all(blobs.map((blob, n) => readyPush(server, blob, n % 2 === 0 ? 'put' : 'patch')));
    forgetPeak(server.pid);
    const started = performance.now();
    await Promise.all(
      pushes.map(async (push) => {
        const connection = await connect(server.port);
        await push(connection);
        connection.close();
      }),
    );
    const rate = Math.round((pushers * sizeMiB * 1000) / (performance.now() - started));
    report(peak, { value: peakResidentMiB(server.pid), note: `${rate} MiB/s` });
    dropFromMemory(server.dataDir);
  },
};
