/** Some of the memory that all pieces share. Given back twice, it counts once. */
export type Room = { giveBack: () => void };

type Waiting = { bytes: number; resolve: (room: Room) => void };

/** Who finds no room waits, and the first who came is the first who enters. */
export function newSharedRoom(sharedBytes: number) {
  let taken = 0;
  const waiting: Waiting[] = [];

  const fits = (bytes: number) => taken === 0 || taken + bytes <= sharedBytes;

  function enter(bytes: number): Room {
    taken += bytes;
    let left = bytes;
    return {
      giveBack: () => {
        taken -= left;
        left = 0;
        enterNext();
      },
    };
  }

  function enterNext(): void {
    for (let [next] = waiting; next && fits(next.bytes); [next] = waiting) {
      waiting.shift();
      next.resolve(enter(next.bytes));
    }
  }

  return {
    take(bytes: number): Promise<Room> {
      if (waiting.length === 0 && fits(bytes)) return Promise.resolve(enter(bytes));
      return new Promise((resolve) => void waiting.push({ bytes, resolve }));
    },
    isTight: () => waiting.length > 0,
  };
}
