/** Bytes that become one piece of an object. */
export type Gathered = {
  bytes: Buffer;
  /** For whoever is sure that nobody reads them any more: their memory is filled with the next ones. */
  release: () => void;
};

/** Most objects are small, and take no more than they need. */
const smallBytes = 256 * 1024;
const spareMax = 16;
/** Left to the collector, one fast upload would fill gigabytes before it ran. */
const spare: Buffer[] = [];
/** What nearly all pieces have. Larger ones are not kept. */
export const pieceBytes = 8 * 1024 * 1024;

/** Gathers chunks in memory of its own as they come: kept as they are, they would take twice as much for a while. */
export function newGathering(capacity: number) {
  let chunks: Uint8Array[] = [];
  let memory: Buffer | undefined;
  let length = 0;

  function takeMemory(): Buffer {
    const taken = (capacity === pieceBytes ? spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(capacity);
    copy(chunks, taken);
    chunks = [];
    return taken;
  }

  return {
    room: () => capacity - length,
    add(chunk: Uint8Array): void {
      if (!memory && length + chunk.length > smallBytes) memory = takeMemory();
      if (memory) memory.set(chunk, length);
      else chunks.push(chunk);
      length += chunk.length;
    },
    end(): Gathered {
      const whole = memory;
      if (!whole) return { bytes: Buffer.concat(chunks), release: () => {} };
      return { bytes: whole.subarray(0, length), release: () => giveBack(whole) };
    },
  };
}

function copy(chunks: readonly Uint8Array[], target: Buffer): void {
  let at = 0;
  for (const chunk of chunks) {
    target.set(chunk, at);
    at += chunk.length;
  }
}

function giveBack(memory: Buffer): void {
  if (memory.length === pieceBytes && spare.length < spareMax) spare.push(memory);
}
