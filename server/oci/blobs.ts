import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { OutgoingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { type Blob, deleteBlob, getBlob, openBlob, type ReadableBlob } from '#core/blobs.ts';
import { parseDigest } from '#core/digest.ts';
import { Failure } from '#core/failure.ts';
import type { ByteRange } from '#core/platform.ts';
import { requireRepository } from '#core/registry-access.ts';
import { readSteadily, type SteadyReading } from '#core/steady-reading.ts';
import { type Exchange, openFor } from './exchange.ts';
import { matchesEtag, parseRange } from './ranges.ts';
import type { Route } from './routes.ts';

type BlobRoute = Extract<Route, { reference: string }>;

const octets = 'application/octet-stream';

/** GET and HEAD of a blob (end-2). */
export async function sendBlob(exchange: Exchange, route: BlobRoute) {
  const { platform, actor, region, request, reply } = exchange;
  const promise = request.method === 'HEAD';
  const blob = await getBlob(platform, actor, { region, ...route }, { promise });
  if (matchesEtag(request.headers['if-none-match'], blob.digest)) return describeBlob(reply, blob).code(304).send();
  if (request.method === 'HEAD') return describeBlob(reply, blob).header('Content-Length', String(blob.size)).send();
  return sendContent(exchange, blob);
}

/** Only once there is something to send: a refusal must not be kept for a year, nor have a blob's digest. */
function describeBlob(reply: Exchange['reply'], { digest }: Blob) {
  return reply.headers({
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, max-age=31536000, immutable',
    'Content-Type': octets,
    // Whatever was pushed, a browser must not run it under our name.
    'X-Content-Type-Options': 'nosniff',
  });
}

/** To the store itself, with a URL that is good for minutes. Ranges are asked for again there. */
export function describeElsewhere({ digest }: Blob, url: string) {
  return {
    Location: url,
    'Docker-Content-Digest': digest,
    'Cache-Control': 'no-store',
    'Content-Length': '0',
  };
}

async function sendContent(exchange: Exchange, blob: ReadableBlob) {
  const { platform, request, reply } = exchange;
  const ifRange = request.headers['if-range'];
  const isStale = ifRange !== undefined && !matchesEtag(String(ifRange), blob.digest);
  const asked = parseRange(isStale ? undefined : request.headers.range, blob.size);
  if (asked.kind === 'unsatisfiable') {
    reply.header('Content-Range', `bytes */${blob.size}`);
    throw new Failure('range', `The blob has ${blob.size} bytes; no part of the range asked for is in it.`, {
      about: 'blob',
    });
  }
  if (platform.blobs.redirect) {
    const url = await platform.blobs.redirect(blob.objectKey);
    return reply.code(307).headers(describeElsewhere(blob, url)).send();
  }
  // An answer behind another of its connection is told nothing when that connection ends, and would keep the store's stream.
  if (!reply.raw.socket) await once(reply.raw, 'socket');
  const open = async (range: ByteRange): Promise<SteadyReading> => {
    const reopen = (rest: ByteRange) => openBlob(platform, blob, rest);
    return { opened: await reopen(range), range, reopen };
  };
  if (asked.kind === 'whole') {
    const content = await open({ start: 0, end: blob.size - 1 });
    describeBlob(reply, blob).header('Content-Length', String(blob.size));
    return sendBytes(exchange, content);
  }
  const [part, ...others] = asked.parts;
  if (part && others.length === 0) {
    const content = await open(part);
    const headers = { 'Content-Range': contentRange(part, blob.size), 'Content-Length': String(lengthOf(part)) };
    describeBlob(reply, blob).code(206).headers(headers);
    return sendBytes(exchange, content);
  }
  const multipart = toMultipart(asked.parts, blob.size);
  const headers = {
    'Content-Type': `multipart/byteranges; boundary=${multipart.boundary}`,
    'Content-Length': String(multipart.length),
  };
  return describeBlob(reply, blob)
    .code(206)
    .headers(headers)
    .send(Readable.from(writeMultipart(multipart, open), { objectMode: false }));
}

/** Past Fastify, because here each chunk can be given back as soon as the socket has taken it. */
async function sendBytes({ platform, request, reply }: Exchange, reading: SteadyReading): Promise<void> {
  const { raw } = reply.hijack();
  raw.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
  const reopen = async (rest: ByteRange) => (raw.destroyed ? undefined : reading.reopen(rest));
  try {
    for await (const chunk of readSteadily({ ...reading, reopen })) {
      await new Promise<void>((resolve, reject) => raw.write(chunk, (error) => (error ? reject(error) : resolve())));
    }
    raw.end();
  } catch (error) {
    if (!raw.destroyed) platform.log.error({ id: request.id, err: error }, 'an answer broke off');
    // Fewer bytes than announced: only a cut connection says so.
    raw.destroy();
  }
}

const contentRange = ({ start, end }: ByteRange, size: number) => `bytes ${start}-${end}/${size}`;
const lengthOf = ({ start, end }: ByteRange) => end - start + 1;

type Multipart = { boundary: string; parts: { head: string; range: ByteRange }[]; tail: string; length: number };

/** RFC 9110, 14.6: one part per range, in the order asked. */
function toMultipart(ranges: ByteRange[], size: number): Multipart {
  const boundary = randomBytes(16).toString('hex');
  const parts = ranges.map((range, index) => ({
    head: `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${octets}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`,
    range,
  }));
  const tail = `\r\n--${boundary}--\r\n`;
  const length = parts.reduce((sum, p) => sum + p.head.length + lengthOf(p.range), tail.length);
  return { boundary, parts, tail, length };
}

async function* writeMultipart({ parts, tail }: Multipart, open: (range: ByteRange) => Promise<SteadyReading>) {
  for (const { head, range } of parts) {
    yield Buffer.from(head);
    // A chunk's own memory goes back to the store before it is sent.
    for await (const chunk of readSteadily(await open(range))) yield Buffer.from(chunk);
  }
  yield Buffer.from(tail);
}

/** DELETE of a blob (end-10). */
export async function removeBlob(exchange: Exchange, route: BlobRoute) {
  const repository = await openFor(exchange, route, 'delete');
  requireRepository(repository);
  await deleteBlob(exchange.platform, repository, parseDigest(route.reference));
  return exchange.reply.code(202).header('Content-Length', '0').send();
}
