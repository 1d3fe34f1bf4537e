import type { ByteRange } from '#core/platform.ts';

export type Source = { key: string; size: number };
export type SourceRange = { from: string; range: ByteRange };
/** A range that the server copies by itself, or ranges that must pass through us to become one piece. */
export type PlannedPiece = { copy: SourceRange } | { send: SourceRange[] };

/**
 * How objects become one, each piece but the last at least `min` bytes. What is smaller passes through our memory, and takes
 * as much of what follows with it as it needs to be `min`; everything else is copied where it lies, `max` at a time.
 * Nothing is copied from an object that is not larger than `min`, at the end neither: S3 copies no range of such a one.
 */
export function planJoin(sources: readonly Source[], { min, max }: { min: number; max: number }): PlannedPiece[] {
  const pieces: PlannedPiece[] = [];
  const total = sources.reduce((sum, { size }) => sum + size, 0);
  let planned = 0;
  let sent: SourceRange[] = [];
  let sentBytes = 0;

  function endSent(): void {
    if (sentBytes > 0) pieces.push({ send: sent });
    sent = [];
    sentBytes = 0;
  }

  for (const { key, size } of sources) {
    for (let at = 0; at < size; ) {
      const left = size - at;
      const isEnd = planned + left === total;
      const mayCopy = sentBytes === 0 && size > min && (left >= min || isEnd);
      const length = mayCopy ? copyLength(left, min, max, isEnd) : Math.min(left, min - sentBytes);
      const part = { from: key, range: { start: at, end: at + length - 1 } };
      if (mayCopy) pieces.push({ copy: part });
      else {
        sent.push(part);
        sentBytes += length;
        if (sentBytes >= min) endSent();
      }
      at += length;
      planned += length;
    }
  }
  endSent();
  return pieces;
}

/** What remains of the object must be large enough for a copy too, unless it is the end. */
function copyLength(left: number, min: number, max: number, isEnd: boolean): number {
  if (left <= max) return left;
  return isEnd || left - max >= min ? max : max - min;
}
