// What clients were told, and so may count on: a digest that was uploaded, mounted, or found by someone who may push,
// stays for half a lease. An explicit deletion ends that, and so does a manifest of the same holder that names the digest.
// Whatever of this overlaps in time with the request that makes the promise may come after it, and then nothing counts.

import { leaseMs } from '#core/links.ts';

export type Promised = { repository: string; digest: string; holder: string };

/** A request under way that may end in a promise. */
export type Mark = Promised & { until: number; epoch: number };

export type Promises = {
  begin(promised: Promised, now: number): Mark;
  keep(mark: Mark): void;
  /** Of one digest, of a repository, or of a registry (`acme/`). Call what it answers when the deletion is over. */
  deleting(prefix: string, digest?: string): () => void;
  /** A manifest push by the holder. Call what it answers when it is over. */
  using(repository: string, digests: readonly string[], holder: string): () => void;
  /** The promise that stands now, to be asked again with `holds` after a push. */
  find(promised: Promised, now: number): Mark | undefined;
  /** `except`: what `using` answered to the push itself. */
  holds(mark: Mark, now: number, except?: () => void): boolean;
  list(now: number): Mark[];
};

type Ending = { matches: (promised: Promised) => boolean; end: () => void };

export function newPromises(): Promises {
  const kept = new Map<string, Mark>();
  const underWay = new Set<Ending>();
  const ended: { at: number; ending: Ending }[] = [];
  let epoch = 0;
  const keyOf = ({ repository, digest, holder }: Promised) => `${repository} ${digest} ${holder}`;
  const isDisturbed = (mark: Mark, except?: () => void) =>
    [...underWay].some((ending) => ending.end !== except && ending.matches(mark)) ||
    ended.some(({ at, ending }) => at > mark.epoch && ending.end !== except && ending.matches(mark));

  function startEnding(matches: Ending['matches']): () => void {
    const end = () => {
      if (underWay.delete(ending)) ended.push({ at: ++epoch, ending });
    };
    const ending = { matches, end };
    underWay.add(ending);
    for (const [key, mark] of kept) if (matches(mark)) kept.delete(key);
    return end;
  }

  return {
    begin: (promised, now) => ({ ...promised, until: now + leaseMs / 2, epoch }),
    keep(mark) {
      if (isDisturbed(mark)) return;
      const before = kept.get(keyOf(mark));
      kept.set(keyOf(mark), { ...mark, until: Math.max(mark.until, before?.until ?? 0) });
    },
    deleting: (prefix, digest) =>
      startEnding(
        (promised) =>
          `${promised.repository}/`.startsWith(prefix) && (digest === undefined || promised.digest === digest),
      ),
    using: (repository, digests, holder) =>
      startEnding(
        (promised) =>
          promised.repository === repository && promised.holder === holder && digests.includes(promised.digest),
      ),
    find(promised, now) {
      const mark = kept.get(keyOf(promised));
      return mark && mark.until > now ? { ...mark, epoch } : undefined;
    },
    holds: (mark, now, except) => mark.until > now && !isDisturbed(mark, except),
    list: (now) => [...kept.values()].filter((mark) => mark.until > now),
  };
}
