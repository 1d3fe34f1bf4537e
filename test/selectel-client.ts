import type { FastifyInstance, InjectOptions } from 'fastify';
import { buildApp } from '#server/app.ts';
import type { Scope } from './database.ts';
import { type Ask, askerOf, basic, withAuthorization } from './oci-client.ts';
import { type Clock, openTestPlatform, type SeededTeam, seedTeam, type TestPlatform } from './platform.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every kind.
export type Json = any;

export type SelectelAnswer = {
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  json: Json;
  text: string;
};

export type CallOptions = { key?: string | undefined; body?: unknown; headers?: Record<string, string> };
/** `GET /v1/registries`: the path as the vendor has it, without `/api`. */
export type Call = (request: string, options?: CallOptions) => Promise<SelectelAnswer>;

export type Selectel = {
  platform: TestPlatform;
  clock: Clock;
  app: FastifyInstance;
  team: SeededTeam;
  /** As the team's owner, unless another key is given; an empty one sends none. */
  call: Call;
  /** The data plane, as the team's owner. */
  oci: Ask;
};

/** The real app on a platform of its own, with one team, called as the vendor's clients do. */
export async function openSelectel(t: Scope): Promise<Selectel> {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  t.after(() => app.close());
  const oci = withAuthorization(askerOf(app), basic(team.secret));
  return { platform, clock: platform.clock, app, team, oci, call: callerOf(app, team.secret) };
}

export function callerOf(app: FastifyInstance, ownKey: string, base = '/api'): Call {
  return async (request, { key = ownKey, body, headers = {} } = {}) => {
    const [method = '', path = ''] = request.split(' ');
    const response = await app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url: `${base}${path}`,
      headers: { host: 'localhost:8080', ...(key !== '' && { 'x-auth-token': key }), ...headers },
      ...(body !== undefined && { payload: body as NonNullable<InjectOptions['payload']> }),
    });
    const isJson = /^application\/json/.test(String(response.headers['content-type'] ?? ''));
    return {
      status: response.statusCode,
      headers: response.headers as SelectelAnswer['headers'],
      json: isJson ? response.json() : undefined,
      text: response.body,
    };
  };
}
