import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { Failure } from '#core/failure.ts';

// Node bounds the time for a request's headers, and for a whole request only in sum, which would end uploads over slow
// lines. So bodies have a pace: who sends less than a kilobyte in a minute holds a connection, perhaps space in a
// registry, and is refused. While we are the ones who do not read, nobody is slow.

const sweepMs = 10_000;
const sweepsPerWindow = 6;
const bytesPerWindow = 1024;

type OpenBody = { raw: IncomingMessage; reply: FastifyReply; bytesAtStart: number; sweeps: number };

/** Of each connection the request whose body is still coming in. */
export type OpenBodies = {
  /** Ends the body of this connection's request with a refusal. False if there is none to end. */
  refuse(socket: Socket, failure: Failure): boolean;
};

export function bindOpenBodies(app: FastifyInstance): OpenBodies {
  const bodies = new Map<Socket, OpenBody>();
  app.addHook('onRequest', (request, reply, done) => {
    const { raw } = request;
    const { 'content-length': length = '0', 'transfer-encoding': coding } = raw.headers;
    if (length !== '0' || coding !== undefined) {
      bodies.set(raw.socket, { raw, reply, bytesAtStart: raw.socket.bytesRead, sweeps: 0 });
    }
    done();
  });
  // Nobody may take what came of a refused body for the whole of it.
  app.addHook('preValidation', (request, _reply, done) => done(refusals.get(request.raw)));
  const sweeper = setInterval(() => sweep(bodies), sweepMs);
  sweeper.unref();
  app.addHook('onClose', async () => clearInterval(sweeper));
  return {
    refuse(socket, failure) {
      const body = bodies.get(socket);
      if (!body || isOver(body)) return false;
      refuse(body, failure);
      return true;
    },
  };
}

const isOver = ({ raw, reply }: OpenBody) => raw.complete || raw.destroyed || reply.raw.closed;

/** Somebody reads, and has read all that came. */
const isAwaited = ({ raw, reply }: OpenBody) =>
  raw.readableLength === 0 && (isIterated(raw) || isFlowing(raw) || reply.raw.headersSent);
const isIterated = (raw: IncomingMessage) => raw.listenerCount('readable') > 0;
const isFlowing = (raw: IncomingMessage) => raw.readableFlowing === true && raw.listenerCount('error') > 0;

function sweep(bodies: Map<Socket, OpenBody>): void {
  for (const [socket, body] of bodies) {
    if (isOver(body)) bodies.delete(socket);
    else if (!isAwaited(body) || socket.bytesRead - body.bytesAtStart >= bytesPerWindow) {
      body.bytesAtStart = socket.bytesRead;
      body.sweeps = 0;
    } else if (++body.sweeps >= sweepsPerWindow) refuse(body, tooSlow);
  }
}

const tooSlow = new Failure(
  'too_slow',
  'The body of the request stopped coming: less than 1 KiB arrived in a minute. Nothing of it was kept.',
);

const refusals = new WeakMap<IncomingMessage, Failure>();

/** Why a body ended before its end, for who reads it as an iterator. */
export function refusalOf(raw: IncomingMessage): Failure | undefined {
  return refusals.get(raw);
}

function refuse({ raw, reply }: OpenBody, failure: Failure): void {
  if (reply.raw.headersSent) {
    raw.socket.destroy();
    return;
  }
  refusals.set(raw, failure);
  // What is still to come of the body would be taken for the next request.
  reply.header('connection', 'close');
  // An iterator that meets an error destroys the connection before the refusal is written. It believes an end, and so
  // does who only begins to read; both then look for the refusal.
  if (isFlowing(raw)) raw.emit('error', failure);
  else {
    // Node ends the connection of a body that ends incomplete.
    raw.complete = true;
    raw.push(null);
  }
}
