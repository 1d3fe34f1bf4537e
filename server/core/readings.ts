/** What one part of this process counts of itself: a counter only grows, from nothing at the start. */
export type Reading = {
  /** Without the prefix that all have. */
  name: string;
  help: string;
  kind: 'counter' | 'gauge';
  /** All with the same labels, whose values are few and name nothing of a team's. */
  samples: readonly { labels: Readonly<Record<string, string>>; value: number }[];
};

export type Meter = () => readonly Reading[];
