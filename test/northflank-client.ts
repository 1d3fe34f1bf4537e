import type { FastifyInstance, InjectOptions } from 'fastify';
import { newId } from '#core/ids.ts';
import { buildApp } from '#server/app.ts';
import type { Scope } from './database.ts';
import { type Clock, openTestPlatform, type SeededTeam, seedTeam, type TestPlatform } from './platform.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every kind.
export type Json = any;

export type NorthflankAnswer = {
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  json: Json;
  text: string;
};

export type CallOptions = { key?: string | undefined; body?: unknown; headers?: Record<string, string> };
/** `GET /integrations/registries`: the path behind `/v1`. */
export type Call = (request: string, options?: CallOptions) => Promise<NorthflankAnswer>;

export type Northflank = {
  platform: TestPlatform;
  clock: Clock;
  app: FastifyInstance;
  team: SeededTeam;
  /** As the team's owner, unless another key is given; an empty one sends none. */
  call: Call;
};

/** The real app on a platform of its own, with one team and its project `default`, called as the vendor's clients do. */
export async function openNorthflank(t: Scope): Promise<Northflank> {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  t.after(() => app.close());
  return { platform, clock: platform.clock, app, team, call: callerOf(app, team.secret) };
}

/** Always with a media type, as the vendor's clients, though there be no body. */
export function callerOf(app: FastifyInstance, ownKey: string, base = '/v1'): Call {
  return async (request, { key = ownKey, body, headers = {} } = {}) => {
    const [method = '', path = ''] = request.split(' ');
    const response = await app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url: `${base}${path}`,
      headers: {
        host: 'localhost:8080',
        'content-type': 'application/json',
        ...(key !== '' && { authorization: `Bearer ${key}` }),
        ...headers,
      },
      ...(body !== undefined && { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const isJson = /^application\/json/.test(String(response.headers['content-type'] ?? ''));
    return {
      status: response.statusCode,
      headers: response.headers as NorthflankAnswer['headers'],
      json: isJson ? response.json() : undefined,
      text: response.body,
    };
  };
}

export const registries = '/integrations/registries';

/** A body of the older generation. */
export const dockerHub = (name: string, more: object = {}) => ({
  name,
  provider: 'dockerhub',
  username: 'bob',
  password: `password-of-${name.replaceAll(' ', '-')}`,
  ...more,
});

/** A further project of the team; its slug is its name. */
export async function seedProject(platform: TestPlatform, { teamId }: SeededTeam, name: string): Promise<string> {
  const id = newId();
  await platform.db
    .insertInto('projects')
    .values({ id, team_id: teamId, name, slug: name, created_at: platform.now() })
    .execute();
  return id;
}
