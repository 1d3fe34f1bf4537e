import { createHash } from 'node:crypto';
import { type Answer, type Connections, openConnections, type Question } from './s3-connections.ts';
import type { Place } from './s3-place.ts';
import { signHeaders, signQuery, unsignedPayload } from './s3-signature.ts';

// The short way for what a store is asked most, past the AWS client, which takes a millisecond of our one thread for each
// request. One attempt, and only plain success is an answer: whatever else happens, nothing has been promised yet when the
// request goes the ordinary way from its start, with that client's attempts, endpoints and errors.

export type Quick = {
  /** Undefined: ask the ordinary way. */
  get: (key: string, range?: string) => Promise<Answer | undefined>;
  size: (key: string) => Promise<number | undefined>;
  /** False: send it the ordinary way. */
  put: (key: string, bytes: Buffer) => Promise<boolean>;
  putPart: (key: string, part: { uploadId: string; number: number }, bytes: Buffer) => Promise<string | undefined>;
  /** False: ask the ordinary way. */
  remove: (key: string) => Promise<boolean>;
  /** A URL of the object that is good for so long. */
  signUrl: (key: string, seconds: number, query: Readonly<Record<string, string>>) => Promise<string>;
  close: () => void;
};

/** How long the server may be silent. Together with the ordinary way's attempts it stays below a minute. */
const answerMs = 5_000;
const storedMs = 10_000;
/** What has failed is not tried on each request again. */
const restMs = 10_000;

export function openQuick(find: () => Promise<Place>): Quick {
  let connections: Connections | undefined;
  const place = newFinder(find);
  const ask = newAsking(async (request) => {
    const to = await place();
    connections ??= openConnections(to.origin);
    return connections.ask(await signed(to, request));
  });

  async function put(key: string, bytes: Buffer, query = ''): Promise<Answer | undefined> {
    const answer = await ask({ method: 'PUT', key, query, bytes, silentMs: storedMs });
    // Success says nothing.
    if (answer && answer.length > 0) answer.body.destroy();
    return answer;
  }

  return {
    get: (key, range) => ask({ method: 'GET', key, range, silentMs: answerMs }),
    size: async (key) => (await ask({ method: 'HEAD', key, silentMs: answerMs }))?.length,
    put: async (key, bytes) => (await put(key, bytes)) !== undefined,
    putPart: async (key, { uploadId, number }, bytes) => {
      const answer = await put(key, bytes, `partNumber=${number}&uploadId=${encodeURIComponent(uploadId)}`);
      return answer?.etag;
    },
    remove: async (key) => (await ask({ method: 'DELETE', key, silentMs: answerMs })) !== undefined,
    signUrl: async (key, seconds, added) => {
      const to = await place();
      const query = signQuery(await to.signer(), to.toSign('GET', key), seconds, added);
      return `${to.origin}${to.pathOf(key)}?${query}`;
    },
    close: () => connections?.close(),
  };
}

/** Where the store is does not change; what cannot be found out now is looked for again. */
function newFinder(find: () => Promise<Place>): () => Promise<Place> {
  let found: Promise<Place> | undefined;
  return () => {
    if (found) return found;
    found = find();
    found.catch(() => {
      found = undefined;
    });
    return found;
  };
}

/** Answers undefined for whatever is no plain success. */
function newAsking(send: (request: Request) => Promise<Answer | undefined>) {
  let restUntil = 0;
  return async (request: Request): Promise<Answer | undefined> => {
    if (performance.now() < restUntil) return undefined;
    const answer = await send(request).catch(() => undefined);
    if (answer && isPlain(answer)) return answer;
    answer?.body.destroy();
    if (answer?.status !== 404) restUntil = performance.now() + restMs;
    return undefined;
  };
}

async function signed(to: Place, { method, key, query = '', range, bytes, silentMs }: Request): Promise<Question> {
  const payload = bytes && !to.isTls ? createHash('sha256').update(bytes).digest('hex') : unsignedPayload;
  const headers = signHeaders(await to.signer(), { ...to.toSign(method, key), query }, payload, range);
  const path = query === '' ? to.pathOf(key) : `${to.pathOf(key)}?${query}`;
  return { method, path, headers, body: bytes ?? null, headersTimeout: silentMs };
}

/** All that success can be here. */
const isPlain = ({ status }: Answer) => status === 200 || status === 204 || status === 206;

type Request = {
  method: Question['method'];
  key: string;
  query?: string;
  range?: string | undefined;
  bytes?: Buffer;
  silentMs: number;
};
