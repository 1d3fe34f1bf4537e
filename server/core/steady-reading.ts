import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from './failure.ts';
import type { BlobStream, ByteRange } from './platform.ts';

/** In a row without a byte in between: a store that gives a little each time is slow, and not gone. */
const attemptsMax = 3;
const pauseMs = 200;

export type SteadyReading = {
  /** The stream of the whole range, already open. */
  opened: BlobStream;
  range: ByteRange;
  /** Opens what is left. Throws as the store does; undefined: it has gone meanwhile. */
  reopen: (range: ByteRange) => Promise<BlobStream | undefined>;
};

/**
 * The bytes of a range to their end: where the store breaks off in the middle, it is asked for the rest, so that whoever
 * reads through us need not begin again. Throws `unavailable` if it goes on breaking off. A chunk is given back to the
 * store when the next one is asked for.
 */
export async function* readSteadily({ opened, range, reopen }: SteadyReading): AsyncGenerator<Uint8Array, void> {
  let stream = opened;
  let at = range.start;
  for (let attempts = 0; ; ) {
    let brokenBy: unknown;
    try {
      for await (const chunk of stream) {
        attempts = 0;
        at += chunk.length;
        yield chunk;
        stream.giveBack?.(chunk);
      }
    } catch (error) {
      brokenBy = error;
    }
    if (at > range.end) return;
    if (attempts++ === attemptsMax) throw brokeOff(brokenBy);
    await delay(pauseMs * (attempts - 1));
    const rest = await reopen({ start: at, end: range.end });
    if (!rest) throw brokeOff(brokenBy);
    stream = rest;
  }
}

/** Hashing and joining read from a store too, and what it fails at is nobody's mistake. */
export function brokeOff(cause: unknown): Failure {
  const sentence = 'The storage that holds the images broke off in the middle. Try again in a while.';
  return Object.assign(new Failure('unavailable', sentence, { retryAfterSeconds: 10 }), { cause });
}
