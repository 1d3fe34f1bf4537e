import { createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Transform } from 'node:stream';
import type { Scope } from '../database.ts';

/** What happens to a request on its way. */
export type Fault =
  | { answer: number; body?: string }
  /** Nothing of the request is read on, and no answer comes. */
  | { silent: true }
  /** The connection ends after so many bytes of the request's body; the server behind hears of nothing. */
  | { cutRequestAfter: number }
  /** The server does as it is asked, and nobody is told. */
  | { loseAnswer: true }
  /** The connection ends after so many bytes of the answer's body. */
  | { cutAnswerAfter: number }
  /** After so many bytes of the answer's body nothing more comes. */
  | { stallAnswerAfter: number };

export type FaultProxy = {
  url: string;
  /** Method and URL of all that came. */
  seen: string[];
  /** Asked for each request; undefined lets it pass. */
  fault: (request: IncomingMessage) => Fault | undefined;
};

/** Stands before a server that speaks HTTP and spoils what it is told to. */
export async function startFaultProxy(t: Scope, target: string): Promise<FaultProxy> {
  const proxy: FaultProxy = { url: '', seen: [], fault: () => undefined };
  const server = createServer((request, response) => {
    proxy.seen.push(`${request.method} ${request.url}`);
    handle(target, proxy.fault(request), request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return proxy;
}

type AnswerFault = Exclude<Fault, { answer: number } | { cutRequestAfter: number } | { silent: true }>;

function handle(target: string, fault: Fault | undefined, request: IncomingMessage, response: ServerResponse): void {
  if (fault && 'answer' in fault) {
    request.resume().once('end', () => response.writeHead(fault.answer).end(fault.body ?? ''));
    return;
  }
  if (fault && 'silent' in fault) return;
  if (fault && 'cutRequestAfter' in fault) {
    cutRequest(request, fault.cutRequestAfter);
    return;
  }
  pass(target, fault, request, response);
}

function pass(
  target: string,
  fault: AnswerFault | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { method, url, headers } = request;
  const behind = forward(new URL(url ?? '/', target), { method: method ?? 'GET', headers }, (answer) => {
    if (fault && 'loseAnswer' in fault) {
      answer.resume().once('end', () => request.socket.destroy());
      return;
    }
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    if (fault) answer.pipe(spoil(fault, request)).pipe(response);
    else answer.pipe(response);
  });
  behind.once('error', () => request.socket.destroy());
  // A client that goes away takes its request with it.
  response.once('close', () => behind.destroy());
  request.pipe(behind);
}

function cutRequest(request: IncomingMessage, after: number): void {
  let received = 0;
  const cut = () => request.socket.destroy();
  request.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received >= after) cut();
  });
  request.once('end', cut);
}

function spoil(fault: { cutAnswerAfter: number } | { stallAnswerAfter: number }, request: IncomingMessage): Transform {
  const isCut = 'cutAnswerAfter' in fault;
  let left = isCut ? fault.cutAnswerAfter : fault.stallAnswerAfter;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (left > 0) return done(null, part);
      this.push(part);
      if (isCut) setImmediate(() => request.socket.destroySoon());
    },
  });
}
