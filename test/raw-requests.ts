// Hostile requests go out as they are written, over a real socket: clients in between would tidy them up.

import { request } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { Json } from './native-client.ts';

export type RawAnswer = {
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  text: string;
  json: Json;
};

/** `GET /registries/…`, below the base. */
export type Send = (
  asked: string,
  options?: { headers?: Record<string, string>; body?: string | undefined },
) => Promise<RawAnswer>;

/** `signedIn`: headers of every request that has no others of these names. */
export async function openSocket(app: FastifyInstance, base: string, signedIn: Record<string, string>): Promise<Send> {
  const { hostname: host, port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
  return (asked, { headers = {}, body } = {}) =>
    new Promise((resolve, reject) => {
      const [method, ...path] = asked.split(' ');
      const typed = body === undefined ? {} : { 'content-type': 'application/json' };
      const options = {
        host,
        port,
        method,
        path: base + path.join(' '),
        headers: { ...signedIn, ...typed, ...headers },
      };
      const sent = request(options, async (response) => {
        const text = Buffer.concat(await response.toArray()).toString();
        const isJson = /json/.test(response.headers['content-type'] ?? '');
        const answered = response.headers as RawAnswer['headers'];
        resolve({
          status: response.statusCode ?? 0,
          headers: answered,
          text,
          json: isJson ? JSON.parse(text) : undefined,
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
}

/** In a query where a number is meant. */
export const wrongWords: readonly string[] = `-1 1.5 1e3 NaN Infinity 0x10 %205 true %00 %ff%fe [] %25 '`.split(' ');
