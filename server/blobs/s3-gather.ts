import { newSharedRoom, type Room } from './s3-room.ts';

/** Bytes that become one piece of an object. */
export type Gathered = {
  bytes: Buffer;
  /** Once, when they are done with. `isUnread`: nobody reads them any more for sure, and the next ones may fill their memory. */
  release: (isUnread: boolean) => void;
};

/** Most objects are small, and take no more than they need. */
const smallBytes = 256 * 1024;
/** What nearly all pieces have. Larger ones are not kept. */
export const pieceBytes = 8 * 1024 * 1024;
/** Of all pieces together, being gathered or on their way. */
export const sharedBytes = 16 * pieceBytes;
/** Whose piece is not full by then has a slow client, who must not keep the others out: it does not count any more. */
const slowMs = 20_000;
const spareMax = 16;
/** Left to the collector, one fast upload would fill gigabytes before it ran. */
const spare: Buffer[] = [];

export const pieceRoom = newSharedRoom(sharedBytes);

/** Gathers chunks in memory of its own as they come: kept as they are, they would take twice as much for a while. */
export function newGathering(capacity: number) {
  let chunks: Uint8Array[] = [];
  let memory: Buffer | undefined;
  let room: Room | undefined;
  let slow: NodeJS.Timeout | undefined;
  let length = 0;

  async function takeMemory(): Promise<Buffer> {
    room = await pieceRoom.take(capacity);
    slow = setTimeout(room.giveBack, slowMs);
    const taken = (capacity === pieceBytes ? spare.pop() : undefined) ?? Buffer.allocUnsafeSlow(capacity);
    copy(chunks, taken);
    chunks = [];
    return taken;
  }

  function release(isUnread: boolean): void {
    if (memory && isUnread) giveBack(memory);
    memory = undefined;
    clearTimeout(slow);
    room?.giveBack();
  }

  return {
    room: () => capacity - length,
    /** Waits only where all that pieces may take is taken. */
    async add(chunk: Uint8Array): Promise<void> {
      if (!memory && length + chunk.length > smallBytes) memory = await takeMemory();
      if (memory) memory.set(chunk, length);
      else chunks.push(chunk);
      length += chunk.length;
    },
    end(): Gathered {
      clearTimeout(slow);
      return { bytes: memory?.subarray(0, length) ?? Buffer.concat(chunks), release };
    },
    release,
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
