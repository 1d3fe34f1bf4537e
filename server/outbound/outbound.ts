import type { Client } from 'undici';
import type { Outbound, OutboundAnswer, OutboundFault, OutboundRequest } from '#core/outbound.ts';
import { isFault } from '#core/outbound.ts';
import { type AllowedUpstream, type Target, targetOf, toText } from './addresses.ts';
import { toFault } from './faults.ts';
import { type Resolve, resolveAll, takingTurns } from './names.ts';
import { openSocket, type Trace } from './socket.ts';

type OutboundOptions = { allowed: readonly AllowedUpstream[]; resolve?: Resolve };

const timeoutMsDefault = 10_000;
const answerBytesDefault = 1024 * 1024;
const redirectsDefault = 3;

/** The guarded way out: see `Outbound`. Every request has a connection of its own, so each is judged anew. */
export function openOutbound({ allowed, resolve = takingTurns(resolveAll) }: OutboundOptions): Outbound {
  return async (request) => {
    const timeoutMs = request.timeoutMs ?? timeoutMsDefault;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), timeoutMs);
    try {
      return await follow({ ...request, timeoutMs }, { guard: { allowed, resolve }, signal: deadline.signal });
    } finally {
      clearTimeout(timer);
    }
  };
}

type Way = { guard: { allowed: readonly AllowedUpstream[]; resolve: Resolve }; signal: AbortSignal };
type TimedRequest = OutboundRequest & { timeoutMs: number };

async function follow(first: TimedRequest, way: Way): Promise<OutboundAnswer | OutboundFault> {
  const redirectsMax = first.redirectsMax ?? redirectsDefault;
  const follows = first.method === 'GET' || first.method === 'HEAD';
  let request = first;
  for (let redirects = 0; ; redirects++) {
    const url = parseUrl(request.url);
    if ('failedAt' in url) return url;
    const answer = await send(request, url, way);
    const location = isFault(answer) || !follows ? undefined : locationOf(answer);
    if (location === undefined || redirectsMax === 0) return answer;
    if (redirects === redirectsMax) return tooManyRedirects(first.url);
    if (!URL.canParse(location, url)) {
      return { failedAt: 'redirect', message: `${url.host} redirects to something that is no URL.` };
    }
    request = redirected(request, url, new URL(location, url));
  }
}

function parseUrl(text: string): URL | OutboundFault {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') return url;
  return { failedAt: 'url', message: 'Only https:// URLs without a user name in them can be asked.' };
}

const redirectStatuses = [301, 302, 303, 307, 308];

const locationOf = ({ status, headers }: OutboundAnswer): string | undefined =>
  redirectStatuses.includes(status) ? headers.location : undefined;

const tooManyRedirects = (url: string): OutboundFault => ({
  failedAt: 'redirect',
  message: `${new URL(url).host} redirects too often.`,
});

const harmlessHeaders = ['accept', 'user-agent'];

/** Whatever could be a credential stays with the origin it was meant for, and so does whom we trust there. */
function redirected(request: TimedRequest, from: URL, to: URL): TimedRequest {
  if (to.origin === from.origin) return { ...request, url: to.href };
  const headers = Object.fromEntries(
    Object.entries(request.headers ?? {}).filter(([name]) => harmlessHeaders.includes(name.toLowerCase())),
  );
  return { ...request, url: to.href, headers, tls: undefined };
}

async function send(request: TimedRequest, url: URL, { guard, signal }: Way): Promise<OutboundAnswer | OutboundFault> {
  const trace: Trace = { step: 'connect' };
  const target = targetOf(url);
  const bytesMax = request.answerBytesMax ?? answerBytesDefault;
  const client = await openClient(url.origin, {
    allowH2: false,
    maxHeaderSize: 16 * 1024,
    connect: (_options, callback) => {
      openSocket({ target, tls: request.tls ?? {}, guard, trace, signal }).then(
        (socket) => {
          trace.step = 'answer';
          callback(null, socket);
        },
        (error) => callback(error, null),
      );
    },
  });
  try {
    const answer = await client.request({
      method: request.method,
      path: `${url.pathname}${url.search}`,
      headers: { 'user-agent': 'lading', ...request.headers },
      body: request.body ?? null,
      signal,
    });
    const body = await readBody(answer.body, bytesMax);
    if (body === undefined) return tooLarge(target, bytesMax);
    return { status: answer.statusCode, headers: toHeaders(answer.headers), body };
  } catch (error) {
    return toFault({ target, trace, error, hasTimedOut: signal.aborted, timeoutMs: request.timeoutMs });
  } finally {
    // Not `close`: what is left of an answer that nobody wants is not waited for.
    client.destroy().catch(() => {});
  }
}

/** Loaded when something is asked outside: most installations start and serve without it. */
async function openClient(origin: string, options: Client.Options): Promise<Client> {
  const { Client } = await import('undici');
  return new Client(origin, options);
}

/** Undefined if there is more than wanted. */
async function readBody(stream: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const tooLarge = (target: Target, bytesMax: number): OutboundFault => ({
  failedAt: 'too_large',
  message: `${toText(target)} answers more than ${bytesMax} bytes, as nothing that is meant here does. Check host and port.`,
});

const toHeaders = (headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
