/** What a socket is read into. Half of what the kernel keeps for it would cost twice as many steps. */
export const chunkBytes = 256 * 1024;
/** Less than this is copied, so that a small answer does not hold on to the memory of a large one. */
const lentMin = chunkBytes / 8;
const spareMax = 64;
/** Left to the collector, fast reads would make it run all the time. */
const spare: Buffer[] = [];

export const takeChunk = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);

/** What nobody reads any more. Memory of another size came from elsewhere. */
export function giveBackChunk({ buffer }: Uint8Array): void {
  if (buffer.byteLength === chunkBytes && spare.length < spareMax) spare.push(Buffer.from(buffer));
}

/** The bytes that were read into a chunk, for whoever reads on. */
export function keepRead(chunk: Uint8Array, count: number): Uint8Array {
  const bytes = chunk.subarray(0, count);
  if (count >= lentMin) return bytes;
  const copy = Buffer.from(bytes);
  giveBackChunk(chunk);
  return copy;
}
