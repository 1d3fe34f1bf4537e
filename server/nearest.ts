/** The one of `known` that `word` is most likely a slip for; undefined where none is near. */
export function findNearest(word: string, known: readonly string[], distanceMax = Infinity): string | undefined {
  const [nearest] = known
    .map((one) => ({ one, far: distance(word, one) }))
    .filter(({ far }) => far <= distanceMax)
    .toSorted((a, b) => a.far - b.far);
  return nearest?.one;
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
