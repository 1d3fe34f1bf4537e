import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { addressOf } from './peer.ts';
import { notesOf, type RequestNotes } from './request-notes.ts';

/** A request that is over: what the log and the metrics want to know of it. */
export type RequestEnd = {
  id: string;
  method: string;
  /** As it was asked for, query and all. */
  url: string;
  /** The pattern of the route that answered; undefined where none did. */
  route: string | undefined;
  /** The path holds a secret: only the route's pattern may be shown. */
  hidesPath: boolean;
  /** Asked by machines every few seconds. */
  isProbe?: boolean;
  address: string;
  host: string | undefined;
  notes: RequestNotes;
  status: number;
  /** The connection ended before the answer did. */
  isCutOff: boolean;
  ms: number;
  socket: Socket;
};

export type RequestEnds = ((end: RequestEnd) => void)[];

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The path holds a secret: only the route's pattern is logged. */
    hidesPath?: boolean;
    /** Asked by machines every few seconds: worth a line only while one looks for something. */
    isProbe?: boolean;
  }
}

/**
 * Tells once of each request: answered, cut off, or answered past Fastify. Fastify's own hooks leave out the client that
 * goes away in the middle of an answer.
 */
export function bindRequestEnds(app: FastifyInstance, ends: RequestEnds): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw;
    reply.raw.once('close', () => {
      const { config, url: route } = request.routeOptions;
      tell(ends, {
        id: request.id,
        method: request.method,
        url: request.url,
        route,
        hidesPath: config.hidesPath ?? false,
        isProbe: config.isProbe ?? false,
        address: addressOf(request),
        host: request.host,
        notes: notesOf(request),
        status: reply.raw.statusCode,
        isCutOff: !reply.raw.writableFinished,
        ms: reply.elapsedTime,
        socket,
      });
    });
    done();
  });
}

export function tell(ends: RequestEnds, end: RequestEnd): void {
  for (const listener of ends) listener(end);
}
