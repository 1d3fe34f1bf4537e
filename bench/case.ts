import type { Server, ServerName } from './servers.ts';

export type Settings = { seconds: number; runs: number };

/** One number of one run on one server. What one `unit` costs the server in CPU stands beside the rate. */
export type Sample = { value: number; cpuMs?: number; p99Ms?: number; note?: string };

/** How many times better than a peer the issue wants Lading to be; `best` is the better of the two. */
export type Target = Partial<Record<Exclude<ServerName, 'lading'> | 'best', number>>;

export type Row = { name: string; unit: string; better: 'more' | 'less'; target?: Target; limit?: number };

/** A case may fill several rows: seeding is shared, and one server runs all of a case before it stops. */
export type Case = {
  id: string;
  rows: Row[];
  /** Cases on big data are run once: seeding takes longer than measuring. */
  once?: boolean;
  /** Servers that cannot take this case, and why. */
  leaveOut?: Partial<Record<ServerName, string>>;
  run: (server: Server, settings: Settings, report: (row: string, sample: Sample) => void) => Promise<void>;
};
