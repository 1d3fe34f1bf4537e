import assert from 'node:assert/strict';
import type { FastifyInstance, InjectOptions } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Platform } from '#core/platform.ts';
import { buildApp } from '#server/app.ts';
import type { Scope } from './database.ts';
import { type Ask, askerOf, basic, withAuthorization } from './oci-client.ts';
import { openTestPlatform, type SeededTeam, seedTeam, type TestPlatform } from './platform.ts';

export const nativeBase = '/lading/v1';

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every kind.
export type Json = any;

export type NativeAnswer = {
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  json: Json;
  text: string;
};

export type CallOptions = { key?: string | undefined; body?: unknown; headers?: Record<string, string> };
/** `GET /registries`: the path without `/lading/v1`. Every answer is checked against the OpenAPI document. */
export type Call = (request: string, options?: CallOptions) => Promise<NativeAnswer>;

export type Native = {
  platform: TestPlatform;
  app: FastifyInstance;
  team: SeededTeam;
  /** As the team's owner, unless another key is given. */
  call: Call;
  /** The data plane, as the team's owner. */
  oci: Ask;
  document: OpenApi;
};

/** The real app on a platform of its own, with one team. */
export async function openNative(t: Scope, overrides: Partial<Platform> = {}): Promise<Native> {
  const platform = await openTestPlatform(t, overrides);
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  t.after(() => app.close());
  documented ??= readDocument(app);
  const { document, check } = await documented;
  const oci = withAuthorization(askerOf(app), basic(team.secret));
  return { platform, app, team, oci, document, call: callerOf(app, check, team.secret) };
}

/** Every app of a process has the same document, and making it takes as long as making the app. */
let documented: Promise<{ document: OpenApi; check: Check }> | undefined;

async function readDocument(app: FastifyInstance): Promise<{ document: OpenApi; check: Check }> {
  const document = (await app.inject(`${nativeBase}/openapi.json`)).json() as OpenApi;
  return { document, check: checkerOf(document) };
}

function callerOf(app: FastifyInstance, check: Check, ownKey: string): Call {
  return async (request, { key = ownKey, body, headers = {} } = {}) => {
    const [method = '', path = ''] = request.split(' ');
    const response = await app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url: `${nativeBase}${path}`,
      headers: { ...(key !== '' && { authorization: `Bearer ${key}` }), ...headers },
      ...(body !== undefined && { payload: body as NonNullable<InjectOptions['payload']> }),
    });
    const answer = {
      status: response.statusCode,
      headers: response.headers as NativeAnswer['headers'],
      json: response.body === '' ? undefined : response.json(),
      text: response.body,
    };
    check(method, path, answer);
    return answer;
  };
}

export type OpenApi = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, TSchema> };
};
type Operation = {
  operationId: string;
  description: string;
  parameters?: { in: string; name: string; schema: Json }[];
  requestBody?: { content: Record<string, { schema: { $ref: string } }> };
  responses: Record<string, { content?: Record<string, { schema: TSchema }> }>;
};

/** Status, media type and body must be what the document promises for the path. */
type Check = (method: string, path: string, answer: NativeAnswer) => void;

function checkerOf(document: OpenApi): Check {
  const validators = new Map<string, ReturnType<typeof Compile>>();
  return (method, path, { status, headers, json, text }) => {
    const [pattern, operation] = findOperation(document, method, path) ?? [];
    if (!operation) return;
    const name = `${method} ${pattern} ${status}`;
    const promised = operation.responses[status];
    assert.ok(promised, `${name} is not in the document: ${text}`);
    const [[type, media] = []] = Object.entries(promised.content ?? {});
    if (!type || !media) {
      assert.equal(text, '', `${name} has a body`);
      return;
    }
    assert.equal(headers['content-type']?.split(';')[0], type, name);
    const validator = validators.get(name) ?? Compile(dereference(document, media.schema) as TSchema);
    validators.set(name, validator);
    assert.deepEqual(validator.Errors(json), [], `${name} differs from the document: ${text}`);
  };
}

function findOperation(document: OpenApi, method: string, path: string): [string, Operation] | undefined {
  const asked = `${nativeBase}${path.split('?')[0]}`.split('/');
  for (const [pattern, operations] of Object.entries(document.paths)) {
    const parts = pattern.split('/');
    const operation = operations[method.toLowerCase()];
    const fits = parts.length === asked.length && parts.every((part, i) => part.startsWith('{') || part === asked[i]);
    if (operation && fits) return [pattern, operation];
  }
  return undefined;
}

function dereference(document: OpenApi, value: Json): Json {
  if (Array.isArray(value)) return value.map((one) => dereference(document, one));
  if (typeof value !== 'object' || value === null) return value;
  const name = typeof value.$ref === 'string' ? value.$ref.split('/').at(-1) : undefined;
  if (name !== undefined) return dereference(document, document.components.schemas[name]);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, dereference(document, inner)]));
}
