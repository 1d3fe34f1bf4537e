import type { Hash } from 'node:crypto';
import { Failure } from './failure.ts';
import { beginObject, dropObject, growObject, writerLost } from './objects.ts';
import type { Platform } from './platform.ts';

/** What a client sends. `length` is undefined where it did not say. */
export type Body = { bytes: AsyncIterable<Uint8Array>; length: number | undefined };

/** Bytes that are durable but nobody's yet: `sealObject` gives them to an owner, `dropObject` throws them away. */
export type WrittenObject = { key: string; size: number; reserved: number };

/**
 * Without a length, room is granted in steps, and no byte is taken beyond them. The first is this many bytes; each further
 * one doubles what is there, because every step waits for a sync of the database beside a disk that is busy.
 */
const stepBytes = 64 * 1024 * 1024;
const stepBytesMax = 256 * 1024 * 1024;

/**
 * Writes a body as one new object, updating the hash on the way. All or nothing: a body that is cut off, or longer or
 * shorter than announced, leaves nothing. Throws `limit`, `invalid` about the size.
 */
export async function writeObject(
  platform: Platform,
  registryId: string,
  body: Body,
  hash: Hash | undefined,
): Promise<WrittenObject> {
  const reservedFirst = body.length ?? (await firstStep(platform, registryId));
  const key = await beginObject(platform, registryId, reservedFirst);
  const meter = { size: 0, reserved: reservedFirst };
  try {
    await platform.blobs.write(key, metered(platform, registryId, key, body, meter, hash));
    if (body.length !== undefined && meter.size !== body.length) throw wrongLength(body.length, meter.size);
    return { key, ...meter };
  } catch (error) {
    await dropObject(platform, key);
    throw error;
  }
}

async function* metered(
  platform: Platform,
  registryId: string,
  key: string,
  body: Body,
  meter: { size: number; reserved: number },
  hash: Hash | undefined,
): AsyncIterable<Uint8Array> {
  for await (const chunk of body.bytes) {
    meter.size += chunk.length;
    if (body.length !== undefined && meter.size > body.length) throw wrongLength(body.length, meter.size);
    while (meter.size > meter.reserved) {
      const wanted = Math.max(stepBytes, Math.min(meter.reserved, stepBytesMax));
      const step = Math.min(wanted, Math.max(await room(platform, registryId), meter.size - meter.reserved));
      await growObject(platform, key, registryId, step);
      meter.reserved += step;
    }
    if (!platform.local.writers.has(key)) throw writerLost();
    hash?.update(chunk);
    yield chunk;
  }
}

/** A small registry must not refuse a small upload because a whole step does not fit. */
async function firstStep(platform: Platform, registryId: string): Promise<number> {
  return Math.min(stepBytes, Math.max(0, await room(platform, registryId)));
}

async function room({ db }: Platform, registryId: string): Promise<number> {
  const row = await db
    .selectFrom('registries')
    .select(['size', 'reserved', 'size_limit'])
    .where('id', '=', registryId)
    .executeTakeFirst();
  return row ? row.size_limit - row.size - row.reserved : 0;
}

function wrongLength(announced: number, received: number): Failure {
  return new Failure(
    'invalid',
    `${announced} bytes were announced, but ${received > announced ? 'more' : `only ${received}`} came. Nothing of them was kept; send them again.`,
    { about: 'size' },
  );
}
