import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { Failure } from '#core/failure.ts';
import type { OpenBodies } from './open-bodies.ts';

// What Node's parser refuses never becomes a request, and would be answered in Node's or Fastify's words. Here it becomes
// one all the same, with nothing but a path: it goes the ordinary way as far as the first hook, which refuses it in the
// form of whose path it is, and it has its line in the log like any other.

const lingerMs = 1000;

type ParserError = Error & { code?: string; rawPacket?: Buffer };

const unparsed = new WeakMap<IncomingMessage, Failure>();
const answered = new WeakSet<Socket>();

/** To be bound before whatever looks at a request, and behind what only tells of its end. */
export function bindUnparsedRequests(app: FastifyInstance, bodies: OpenBodies): void {
  app.addHook('onRequest', (request, _reply, done) => done(unparsed.get(request.raw)));
  app.server.removeAllListeners('clientError');
  app.server.on('clientError', (error, socket) => answerUnparsed(app, bodies, error, socket as Socket));
}

/** Answers, then ends the connection: where the next request would begin, nobody knows. */
function answerUnparsed(app: FastifyInstance, bodies: OpenBodies, error: ParserError, socket: Socket): void {
  if (answered.has(socket)) return;
  answered.add(socket);
  const failure = toFailure(error);
  if (error.code === 'ECONNRESET') return;
  if (!socket.writable) socket.destroy(error);
  else if (error.code !== goneInTheMiddle && bodies.refuse(socket, failure)) return;
  else if (isAnswering(socket)) socket.destroy(error);
  else answer(app, socket, failure, error.rawPacket);
}

/** The client has ended the connection: of a request with a body, as if it had been cut. */
const goneInTheMiddle = 'HPE_INVALID_EOF_STATE';

/** Garbage behind a request whose answer is not out yet must not be answered in its place. */
const isAnswering = (socket: Socket & { _httpMessage?: unknown }) => Boolean(socket._httpMessage);

function answer(app: FastifyInstance, socket: Socket, failure: Failure, packet: Buffer | undefined): void {
  const request = new IncomingMessage(socket);
  const { method, url } = readRequestLine(packet);
  Object.assign(request, { method, url, httpVersionMajor: 1, httpVersionMinor: 1, httpVersion: '1.1', complete: true });
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  // Closed at once, with bytes unread, the kernel would send a reset, and the answer could be lost on its way.
  response.once('finish', () => {
    response.detachSocket(socket);
    socket.end();
    setTimeout(() => socket.destroy(), lingerMs).unref();
  });
  unparsed.set(request, failure);
  app.routing(request, response);
}

/** The path decides the form of the answer. Whatever else came in is not to be trusted, or not there. */
function readRequestLine(packet: Buffer | undefined): { method: string; url: string } {
  const line = packet?.subarray(0, 8192).toString('latin1') ?? '';
  const [, method, url = '/'] = /^([A-Z]+) (\/[\x21-\x7e]*)/.exec(line) ?? [];
  return { method: method === 'HEAD' ? 'HEAD' : 'GET', url };
}

function toFailure({ code }: ParserError): Failure {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new Failure('too_slow', 'The headers of the request did not come within a minute.');
  }
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new Failure('too_large', 'The headers of the request are too large: at most 16 KiB are taken.', {
      about: 'header',
    });
  }
  return new Failure('invalid', `The request is not proper HTTP${faults[code ?? ''] ?? ''}.`);
}

const faults: Readonly<Record<string, string>> = {
  HPE_INVALID_HEADER_TOKEN: ': a header has a character that none may have',
  HPE_UNEXPECTED_CONTENT_LENGTH: ': it says its length twice, or with chunks',
  HPE_INVALID_CONTENT_LENGTH: ': its Content-Length is no length',
  HPE_INVALID_TRANSFER_ENCODING: ': its length and its Transfer-Encoding contradict each other',
  HPE_INVALID_CHUNK_SIZE: ': a chunk of its body has no proper size',
  HPE_INVALID_METHOD: ': it begins with no known method',
  HPE_INVALID_URL: ': its path has a character that none may have',
  HPE_INVALID_VERSION: ': it names no version of HTTP that is spoken here',
};
