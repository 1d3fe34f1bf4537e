import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '#core/platform.ts';
import { addressOf } from './peer.ts';
import { notesOf } from './request-notes.ts';

/**
 * Calls `end` once for each request: answered, cut off, or answered past Fastify. Fastify's own hooks leave out the
 * client that goes away in the middle of an answer.
 */
export function onRequestEnd(app: FastifyInstance, end: (request: FastifyRequest, reply: FastifyReply) => void): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.raw.once('close', () => end(request, reply));
    done();
  });
}

/** One line for each request, at its end. Never a body, a header, or a query: signed links have secrets there. */
export function bindRequestLog(app: FastifyInstance, log: Log): void {
  onRequestEnd(app, (request, reply) => {
    const { config, url: pattern } = request.routeOptions;
    const { statusCode, writableFinished } = reply.raw;
    const fields = {
      id: request.id,
      address: addressOf(request),
      ...notesOf(request),
      status: statusCode,
      ...(!writableFinished && { cutOff: true }),
      ms: Math.round(reply.elapsedTime),
    };
    const path = config.hidesPath ? (pattern ?? '') : pathOf(request.url);
    log[statusCode >= 500 ? 'error' : 'info'](fields, `${request.method} ${path}`);
  });
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The path holds a secret: only the route's pattern is logged. */
    hidesPath?: boolean;
  }
}

export function pathOf(url: string): string {
  const end = url.indexOf('?');
  return (end < 0 ? url : url.slice(0, end)).slice(0, 500);
}
