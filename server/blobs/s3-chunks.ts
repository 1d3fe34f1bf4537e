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

/** Of the memory of a socket, the bytes for whoever reads; and the memory for the bytes that come next. */
export function lend(memory: Buffer, bytes: Buffer): { bytes: Buffer; next: Buffer } {
  if (bytes.length < lentMin) return { bytes: Buffer.from(bytes), next: memory };
  return { bytes, next: takeChunk() };
}
