const filesPerBatch = 12;

/** Deals the files out like cards, so that the neighbours in a folder, which take about as long, are spread. */
export function dealFiles(files: readonly string[]): string[][] {
  const sorted = files.toSorted();
  const count = Math.ceil(sorted.length / filesPerBatch);
  return Array.from({ length: count }, (_, batch) => sorted.filter((_, i) => i % count === batch));
}
