// Calls of the vendors' APIs that take a key as Bearer, as their clients and as hostile ones make them.

import { type RequestOptions, request } from 'node:http';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { ensureRegions } from '#core/regions.ts';
import { buildApp } from '#server/app.ts';
import type { Scope } from './database.ts';
import { loopback, openTestPlatform, type SeededTeam, seedTeam, type TestPlatform } from './platform.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every kind.
export type Json = any;

export type DialectAnswer = {
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  json: Json;
  text: string;
};

export type CallOptions = { key?: string | undefined; body?: unknown; headers?: Record<string, string> };
/** `GET /<id>`: the path behind the API's base. A text is sent as it is, anything else as JSON. */
export type Call = (asked: string, options?: CallOptions) => Promise<DialectAnswer>;

export type Dialect = { platform: TestPlatform; app: FastifyInstance; team: SeededTeam };
type Region = { slug: string; name: string; host: string };

/** The real app on a platform of its own that may ask servers on loopback, with one team. */
export async function openDialect(t: Scope, regions?: readonly Region[]): Promise<Dialect> {
  const platform = await openTestPlatform(t, {}, { allowed: loopback });
  if (regions) platform.config = { ...platform.config, regions: await ensureRegions(platform.db, regions) };
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  t.after(() => app.close());
  return { platform, app, team };
}

export function callerOf(app: FastifyInstance, ownKey: string, base: string): Call {
  return async (asked, { key = ownKey, body, headers = {} } = {}) => {
    const [method = '', path = ''] = asked.split(' ');
    const response = await app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url: `${base}${path}`,
      headers: { host: 'localhost:8080', ...headersFor(key, body), ...headers },
      ...(body !== undefined && { payload: toText(body) }),
    });
    return toAnswer(response.statusCode, response.headers as DialectAnswer['headers'], response.body);
  };
}

/** Requests as they are written: clients in between would tidy hostile ones up. */
export async function openSocket(app: FastifyInstance, ownKey: string, base: string): Promise<Call> {
  const server = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
  return (asked, { key = ownKey, body, headers = {} } = {}) => {
    const [method, ...path] = asked.split(' ');
    return exchange(
      {
        host: server.hostname,
        port: server.port,
        method,
        path: `${base}${path.join(' ')}`,
        headers: { ...headersFor(key, body), ...headers },
      },
      body === undefined ? undefined : toText(body),
    );
  };
}

function exchange(options: RequestOptions, body: string | undefined): Promise<DialectAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(options, async (response) => {
      const text = Buffer.concat(await response.toArray()).toString();
      resolve(toAnswer(response.statusCode ?? 0, response.headers as DialectAnswer['headers'], text));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const headersFor = (key: string, body: unknown): Record<string, string> => ({
  ...(key !== '' && { authorization: `Bearer ${key}` }),
  ...(body !== undefined && { 'content-type': 'application/json' }),
});

const toText = (body: unknown) => (typeof body === 'string' ? body : JSON.stringify(body));

function toAnswer(status: number, headers: DialectAnswer['headers'], text: string): DialectAnswer {
  const isJson = /^application\/json/.test(headers['content-type'] ?? '') && text !== '';
  return { status, headers, text, json: isJson ? JSON.parse(text) : undefined };
}
