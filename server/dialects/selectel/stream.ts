import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

const chunkLength = 64 * 1024;

/**
 * Answers a JSON array of any length, with a chunk of it in memory. The first item is read before the status is sent, so
 * that a refusal is still one.
 */
export async function sendArray<Item>(
  reply: FastifyReply,
  items: AsyncIterable<Item>,
  toWire: (item: Item) => unknown,
): Promise<FastifyReply> {
  const iterator = items[Symbol.asyncIterator]();
  const first = await iterator.next();
  const text = Readable.from(write(iterator, first, toWire), { objectMode: false });
  return reply.type('application/json; charset=utf-8').send(text);
}

async function* write<Item>(
  iterator: AsyncIterator<Item>,
  first: IteratorResult<Item>,
  toWire: (item: Item) => unknown,
): AsyncGenerator<string> {
  try {
    let chunk = '[';
    for (let item = first, separator = ''; !item.done; item = await iterator.next(), separator = ',') {
      chunk += separator + JSON.stringify(toWire(item.value));
      if (chunk.length < chunkLength) continue;
      yield chunk;
      chunk = '';
    }
    yield `${chunk}]`;
  } finally {
    // The client may go away in the middle.
    await iterator.return?.();
  }
}
