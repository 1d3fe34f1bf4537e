import type { Meter } from '#core/readings.ts';
import type { Pools } from './postgres.ts';

/** How many connections are open, how many of them are free, and how much waits for one. */
export function newPoolMeter(): { meter: Meter; onPools: (pools: Pools) => void } {
  let pools: Pools | undefined;
  const meter: Meter = () => {
    const rows = pools ? Object.entries({ ...pools, pipeline: pools.pipeline.load() }) : [];
    return [
      {
        name: 'database_connections',
        help: 'Connections to PostgreSQL, by what they are for and whether something is done on them.',
        kind: 'gauge',
        samples: rows.flatMap(([pool, { totalCount, idleCount }]) => [
          { labels: { pool, state: 'busy' }, value: totalCount - idleCount },
          { labels: { pool, state: 'idle' }, value: idleCount },
        ]),
      },
      {
        name: 'database_waiting',
        help: 'What waits for a connection to PostgreSQL, because all are busy.',
        kind: 'gauge',
        samples: rows.map(([pool, { waitingCount }]) => ({ labels: { pool }, value: waitingCount })),
      },
    ];
  };
  return {
    meter,
    onPools: (opened) => {
      pools = opened;
    },
  };
}
