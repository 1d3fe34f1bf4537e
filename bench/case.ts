import type { ServerName } from './launches.ts';
import type { Server } from './servers.ts';

export type Settings = { seconds: number; runs: number };

/** One number of one run on one server. What one `unit` costs the server in CPU stands beside the rate. */
export type Sample = { value: number; cpuMs?: number; p99Ms?: number; note?: string };

/** How many times better than a peer the issue wants Lading to be; `best` is the best of them. */
export type Target = Partial<Record<ServerName | 'best', number>>;

export type Row = { name: string; unit: string; better: 'more' | 'less'; target?: Target; limit?: number };

/** Who is compared: the columns of a table. The last one is what the targets are for. */
export type Lineup = readonly ServerName[];

export const onDisk: Lineup = ['docker-registry', 'zot', 'lading'];
export const onS3: Lineup = ['S3', 'docker-registry on S3', 'lading', 'lading on S3'];
export const replicated: Lineup = ['one replica', 'three replicas'];
export const lineups = [onDisk, onS3, replicated];

/** A case may fill several rows: seeding is shared, and one server runs all of a case before it stops. */
export type Case = {
  id: string;
  rows: Row[];
  /** Where nothing is said, those on disk. */
  lineup?: Lineup;
  /** Cases on big data are run once: seeding takes longer than measuring. */
  once?: boolean;
  /** Servers on S3 send clients there for blobs. */
  redirects?: boolean;
  /** Servers that cannot take this case, and why. */
  leaveOut?: Partial<Record<ServerName, string>>;
  run: (server: Server, settings: Settings, report: (row: string, sample: Sample) => void) => Promise<void>;
};
