import { randomUUIDv7 } from 'node:crypto';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { getBlob } from '#core/blobs.ts';
import { getManifest } from '#core/manifests.ts';
import type { Platform } from '#core/platform.ts';
import { addressOf, regionOf, senderOf } from '#http/peer.ts';
import { type RequestEnds, tell } from '#http/request-end.ts';
import type { RequestNotes } from '#http/request-notes.ts';
import type { Site } from '#http/site.ts';
import { recognise } from './authenticate.ts';
import { describeElsewhere } from './blobs.ts';
import { describeActor } from './exchange.ts';
import { describeManifest } from './manifests.ts';
import { parseRoute } from './routes.ts';

// The short way for what a registry is asked most: GET and HEAD of a manifest with a good access token, and GET of a blob
// that the store gives itself, where the framework takes as long as all the rest. Only the plain 200 or 307 is given here,
// the same as on the ordinary way. Whatever else a request turns out to be (no token, a refusal, a condition, a fault),
// nothing has been said or counted yet when it goes the ordinary way from its start.

/** Puts the short way in front of what the server did so far. */
export function bindQuickPulls(server: Server, platform: Platform, site: Site, ends: RequestEnds): void {
  const [ordinary] = server.listeners('request') as RequestListener[];
  if (!ordinary) throw new Error('There is no ordinary way yet.');
  server.removeAllListeners('request');
  server.on('request', (request, response) => {
    // A server that is being drained says so on the ordinary way.
    if (!server.listening || !isPlain(request, platform)) return ordinary(request, response);
    const startedAt = performance.now();
    const sender = senderOf(site, request);
    answer(platform, sender, request, response).then(
      (notes) => whenClosed(response, () => tell(ends, endOf(sender, request, response, notes, startedAt))),
      () => ordinary(request, response),
    );
  });
}

function isPlain({ method, url = '', headers }: IncomingMessage, { blobs }: Platform): boolean {
  const isManifest = (method === 'GET' || method === 'HEAD') && url.includes('/manifests/');
  const isElsewhere = method === 'GET' && blobs.redirect !== undefined && url.includes('/blobs/');
  return (
    (isManifest || isElsewhere) &&
    url.startsWith('/v2/') &&
    headers.range === undefined &&
    headers['if-none-match'] === undefined &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined
  );
}

type Sender = ReturnType<typeof senderOf>;

/** Answers in full, or throws and has said nothing. */
async function answer(
  platform: Platform,
  sender: Sender,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<RequestNotes> {
  const { method, url = '', headers } = request;
  const route = parseRoute(url);
  if (route?.kind !== 'manifest' && route?.kind !== 'blob') throw notPlain;
  const region = regionOf(platform, sender);
  const address = addressOf(sender);
  const actor = await recognise(platform, { headers, address, region });
  if (!actor) throw notPlain;
  const { name, reference } = route;
  if (route.kind === 'blob') {
    const blob = await getBlob(platform, actor, { region, name, reference }, { promise: false });
    const url = await platform.blobs.redirect?.(blob.objectKey);
    if (method !== 'GET' || url === undefined) throw notPlain;
    response.writeHead(307, { ...version, ...describeElsewhere(blob, url) }).end();
  } else {
    const withBytes = method === 'GET';
    const manifest = await getManifest(platform, actor, { region, name, reference, withBytes });
    const description = { ...describeManifest(manifest, reference), 'Content-Length': manifest.size };
    response.writeHead(200, { ...version, ...description });
    response.end(withBytes ? manifest.bytes : undefined);
  }
  return { actor: describeActor(actor), repository: name };
}

const version = { 'Docker-Distribution-Api-Version': 'registry/2.0' };

/** The client may have gone before the answer was ready. */
function whenClosed(response: ServerResponse, done: () => void): void {
  if (response.closed) done();
  else response.once('close', done);
}

/** Made once, because a stack would cost more than the answer. */
const notPlain = new Error('This goes the ordinary way.');

function endOf(
  sender: Sender,
  request: IncomingMessage,
  response: ServerResponse,
  notes: RequestNotes,
  startedAt: number,
) {
  const { method = '', url = '', socket } = request;
  return {
    id: randomUUIDv7(),
    method,
    url,
    route: '/v2/*',
    hidesPath: false,
    address: addressOf(sender),
    host: sender.host,
    notes,
    status: response.statusCode,
    isCutOff: !response.writableFinished,
    ms: performance.now() - startedAt,
    socket,
  };
}
