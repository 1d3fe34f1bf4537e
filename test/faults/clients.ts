import { randomBytes, randomInt } from 'node:crypto';
import { channel, subscribe } from 'node:diagnostics_channel';
import { expectBlob, type Ledger } from '../crash/ledger.ts';
import { type Client, digestOf, isRefusal, pushImage, type Refused, refusedOf, uploads } from '../crash/push.ts';
import { pause } from '../servers/child.ts';

/** What clients met while one fault was going on. */
export type Tally = {
  pulled: number;
  /** Refusals that a client may try again, by status. */
  refused: Map<number, number>;
  /** Connections that ended before an answer did. */
  broken: number;
  /** What must never be. */
  faults: string[];
  /** When a client was last refused or cut off, and the longest that one has waited for an answer. */
  lastTroubleAt: number;
  slowestMs: number;
};

export function newTally(): Tally {
  return { pulled: 0, refused: new Map(), broken: 0, faults: [], lastTroubleAt: 0, slowestMs: 0 };
}

export type Clients = {
  tally: Tally;
  /** Each ends what it is at. What has not ended after a while is cut off, and said to be a fault. */
  stop: () => Promise<void>;
};

type Options = { url: string; authorization: string; ledger: Ledger; name: string; pushers: number };

const pullers = 3;
const repositories = ['default/faults/a', 'default/faults/b', 'default/faults/c'];
const shared = 'default/faults/shared';
/** Whoever was refused waits a little, as clients do. */
const afterTroubleMs = 100;
const largeEveryMs = 4_000;
const stopMs = 150_000;

/** Pushes and pulls without a pause until it is stopped. */
export function startClients({ url, authorization, ledger, name, pushers }: Options): Clients {
  const tally = newTally();
  const [stopping, cutting] = [new AbortController(), new AbortController()];
  const client: Client = { url, authorization, ledger, signal: cutting.signal };
  const isOver = () => stopping.signal.aborted;
  const ends = measureAnswers(tally);
  const running = [
    ...Array.from({ length: pushers }, (_, index) => keepPushing(client, tally, isOver, index, name)),
    keepPushingLarge(client, tally, isOver),
    ...Array.from({ length: pullers }, () => keepPulling(client, tally, isOver)),
  ];
  return {
    tally,
    async stop() {
      stopping.abort();
      const cutter = setTimeout(() => {
        tally.faults.push(`a request was without an answer for more than ${stopMs / 1000} s`);
        cutting.abort();
      }, stopMs);
      await Promise.all(running);
      clearTimeout(cutter);
      ends();
    },
  };
}

async function keepPushing(client: Client, tally: Tally, isOver: () => boolean, index: number, name: string) {
  const repository = `${repositories[index % repositories.length]}`;
  for (let push = 0; !isOver(); push++) {
    await attempt(tally, () => pushImage(client, repository, shared, `${name}-c${index}-p${push}`, `moving-${index}`));
  }
}

/** Blobs that a bucket takes in several parts, and joins itself where they come in chunks. */
async function keepPushingLarge(client: Client, tally: Tally, isOver: () => boolean): Promise<void> {
  const ways = Object.values(uploads);
  for (let push = 0; !isOver(); push++) {
    const bytes = randomBytes(randomInt(9, 18) * 1024 * 1024);
    const digest = digestOf(bytes);
    const arrived = expectBlob(client.ledger, shared, digest);
    await attempt(tally, async () => {
      await ways[push % ways.length]?.(client, shared, bytes, digest);
      arrived();
    });
    await pause(largeEveryMs);
  }
}

async function attempt(tally: Tally, push: () => Promise<void>): Promise<void> {
  try {
    await push();
  } catch (error) {
    const refused = refusedOf(error);
    if (refused) noteRefusal(tally, refused, String(error));
    else if (isRefusal(error)) tally.faults.push(String(error));
    else noteBreak(tally);
    await pause(afterTroubleMs);
  }
}

async function keepPulling(client: Client, tally: Tally, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const ids = [...client.ledger.blobs];
    const picked = ids[randomInt(Math.max(1, ids.length))];
    if (picked) await pull(client, tally, picked);
    await pause(50);
  }
}

/** A blob that was acknowledged is there; any other is there whole or not at all. */
async function pull(client: Client, tally: Tally, [id, isAcknowledged]: [string, boolean]): Promise<void> {
  const [repository, digest] = id.split('@');
  try {
    const answer = await fetch(new URL(`/v2/${repository}/blobs/${digest}`, client.url), {
      headers: { authorization: client.authorization },
      signal: client.signal,
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const { status, headers } = answer;
    if (status === 200 && digestOf(bytes) === digest) tally.pulled++;
    else if (status === 200) tally.faults.push(`blob ${id} came with other bytes, ${bytes.length} of them`);
    else if (status !== 404) noteRefusal(tally, { status, text: bytes.toString(), headers }, `GET of blob ${id}`);
    else if (isAcknowledged) tally.faults.push(`LOST blob ${id}`);
  } catch {
    noteBreak(tally);
  }
}

function noteBreak(tally: Tally): void {
  tally.broken++;
  tally.lastTroubleAt = performance.now();
}

/** Counts a refusal, and says what is wrong with it as one that a client understands and tries again. */
function noteRefusal(tally: Tally, refused: Refused, request: string): void {
  const { status, text, headers } = refused;
  tally.refused.set(status, (tally.refused.get(status) ?? 0) + 1);
  tally.lastTroubleAt = performance.now();
  if (isFromBalancer(refused) || isTooLate(refused, request)) return;
  if (status === 503 && headers.get('retry-after') !== null && /"errors":\[\{"code":"\w+"/.test(text)) return;
  tally.faults.push(`${request}: ${status}, Retry-After ${headers.get('retry-after')}, ${text.slice(0, 300)}`);
}

/** nginx's own words where no replica could be reached, or one died with the request. */
const isFromBalancer = ({ status, text }: Refused) => (status === 502 || status === 504) && text.includes('nginx');

/** The first request has done it, and its answer was lost between the balancer and a replica: it asked again. */
const isTooLate = ({ status }: Refused, request: string) =>
  status === 404 && /^Refusal: (?:PUT \S*\/blobs\/uploads\/|DELETE )/.test(request);

/** By what undici says of each request of this process. Answers how to end it. */
function measureAnswers(tally: Tally): () => void {
  const begun = new WeakMap<object, number>();
  type Message = { request: object };
  const begin = (message: unknown) => void begun.set((message as Message).request, performance.now());
  const end = (message: unknown) => {
    const at = begun.get((message as Message).request);
    if (at !== undefined) tally.slowestMs = Math.max(tally.slowestMs, performance.now() - at);
  };
  const names = { begin: ['undici:request:create'], end: ['undici:request:trailers', 'undici:request:error'] };
  for (const name of names.begin) subscribe(name, begin);
  for (const name of names.end) subscribe(name, end);
  return () => {
    for (const name of names.begin) channel(name).unsubscribe(begin);
    for (const name of names.end) channel(name).unsubscribe(end);
  };
}
