// A registry and its token service as a test wants them, right or wrong, on loopback. It keeps what it was sent, so that
// tests can say what a server has not seen.

import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Scope } from '../database.ts';

export type SeenRequest = { method: string; path: string; headers: IncomingMessage['headers']; body: string };

/** What is sent instead of an answer: nothing ever, half of something, or this. */
export type Instead = undefined | 'hang' | 'cut' | { status: number; headers?: Record<string, string>; body?: string };

/** What a token lets its user do. */
export type Grant = { user: string; repositories: readonly string[]; mayList: boolean };

export type ScriptedRegistry = {
  host: string;
  url: string;
  port: number;
  seen: SeenRequest[];
  /** TCP connections, with or without a request. */
  connections: () => number;
  auth: 'open' | 'basic' | 'bearer';
  /** In place of the whole challenge. `null`: a 401 without any. */
  challenge: string | null | undefined;
  /** Of another server that issues its tokens; otherwise it does so itself. */
  realm: string | undefined;
  users: Map<string, string>;
  /** Whether the token service gives tokens to nobody in particular. */
  givesToStrangers: boolean;
  /** Whether it takes wrong credentials for none. */
  forgivesWrong: boolean;
  /** Random ones, unless somebody else is to read them. */
  toToken: (grant: Grant) => string;
  /** Shared by a registry and the server that issues its tokens. */
  tokens: Map<string, Grant>;
  /** Who may read each; `*`: everybody. */
  repositories: Map<string, readonly string[]>;
  lists: boolean;
  /** Whether `last` must be a repository, as zot wants it. */
  listsAfterKnown: boolean;
  /** On every answer of the registry. */
  headers: Record<string, string>;
  /** Looks at a request first; what it answers is sent instead. */
  before: ((request: SeenRequest) => Instead) | undefined;
};

type Options = { tls?: { certificatePem: string; keyPem: string }; address?: string };

export async function startRegistry(t: Scope, { tls, address = '127.0.0.1' }: Options = {}): Promise<ScriptedRegistry> {
  let connections = 0;
  const state: ScriptedRegistry = {
    host: '',
    url: '',
    port: 0,
    seen: [],
    connections: () => connections,
    auth: 'basic',
    challenge: undefined,
    realm: undefined,
    users: new Map([['alice', 'correct horse']]),
    givesToStrangers: false,
    forgivesWrong: false,
    toToken: () => randomBytes(16).toString('hex'),
    tokens: new Map(),
    repositories: new Map([['team/app', ['alice']]]),
    lists: true,
    listsAfterKnown: false,
    headers: {},
    before: undefined,
  };
  const handler = (request: IncomingMessage, response: ServerResponse) => void answer(state, request, response);
  const server = tls ? createTlsServer({ cert: tls.certificatePem, key: tls.keyPem }, handler) : createServer(handler);
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  state.port = (server.address() as AddressInfo).port;
  state.host = `${address}:${state.port}`;
  state.url = `${tls ? 'https' : 'http'}://${state.host}`;
  return state;
}

async function answer(state: ScriptedRegistry, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const { method = '', url = '', headers } = request;
  const seen = { method, path: url, headers, body: Buffer.concat(chunks).toString('utf8') };
  state.seen.push(seen);
  const instead = state.before?.(seen) ?? decide(state, seen);
  if (instead === 'hang') return;
  if (instead === 'cut') {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{', () => request.socket.destroy());
    return;
  }
  response.writeHead(instead.status, { ...instead.headers }).end(instead.body ?? '');
}

type Answer = Exclude<Instead, undefined | string>;

const json = (status: number, body: object, headers = {}): Answer => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});

const refusal = (status: number, code: string, headers = {}): Answer =>
  json(status, { errors: [{ code, message: code.toLowerCase() }] }, headers);

function decide(state: ScriptedRegistry, seen: SeenRequest): Answer {
  const url = new URL(seen.path, 'http://x');
  if (url.pathname === '/token') return giveToken(state, seen, url);
  const { status, headers, body } = decideRegistry(state, seen, url);
  return { status, headers: { ...headers, ...state.headers }, body: seen.method === 'HEAD' ? '' : (body ?? '') };
}

/** The user of Basic credentials; undefined without any, null where they are wrong. */
function userOf({ users }: ScriptedRegistry, { headers }: SeenRequest): string | null | undefined {
  const [, encoded] = /^Basic (.*)$/.exec(headers.authorization ?? '') ?? [];
  if (encoded === undefined) return undefined;
  const [user = '', ...rest] = Buffer.from(encoded, 'base64').toString('utf8').split(':');
  return users.get(user) === rest.join(':') ? user : null;
}

const mayRead = ({ repositories }: ScriptedRegistry, user: string, name: string): boolean =>
  repositories.get(name)?.some((one) => one === '*' || one === user) === true;

function giveToken(state: ScriptedRegistry, seen: SeenRequest, url: URL): Answer {
  const isStranger = seen.headers.authorization === undefined || state.forgivesWrong;
  const user = userOf(state, seen) ?? (isStranger && state.givesToStrangers ? '' : null);
  if (user === null) return refusal(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="tokens"' });
  const scopes = url.searchParams.getAll('scope').join(' ').split(' ');
  const names = scopes.flatMap((scope) => /^repository:(.+):pull$/.exec(scope)?.[1] ?? []);
  const repositories = names.filter((name) => mayRead(state, user, name));
  const grant = { user, repositories, mayList: scopes.includes('registry:catalog:*') };
  const token = state.toToken(grant);
  state.tokens.set(token, grant);
  return json(200, { token });
}

/** Whom a request comes from; undefined: nobody that may come in. */
function grantOf(state: ScriptedRegistry, seen: SeenRequest): Grant | undefined {
  const readable = (user: string) => [...state.repositories.keys()].filter((name) => mayRead(state, user, name));
  if (state.auth === 'bearer') return state.tokens.get(seen.headers.authorization?.replace(/^Bearer /, '') ?? '');
  const user = userOf(state, seen) ?? (state.auth === 'open' && seen.headers.authorization === undefined ? '' : null);
  return user === null ? undefined : { user, repositories: readable(user), mayList: true };
}

function decideRegistry(state: ScriptedRegistry, seen: SeenRequest, url: URL): Answer {
  const grant = grantOf(state, seen);
  if (!grant) return refusal(401, 'UNAUTHORIZED', challengeOf(state));
  if (url.pathname === '/v2/') return json(200, {}, { 'docker-distribution-api-version': 'registry/2.0' });
  if (url.pathname === '/v2/_catalog') return listCatalog(state, grant, url);
  const name = /^\/v2\/(.+)\/(?:tags\/list|manifests\/[^/]+)$/.exec(url.pathname)?.[1];
  if (name === undefined) return refusal(404, 'NAME_UNKNOWN');
  if (grant.repositories.includes(name)) return json(200, { name, tags: ['latest'] });
  if (state.auth === 'bearer') return refusal(401, 'UNAUTHORIZED', challengeOf(state));
  if (state.auth === 'open' && state.repositories.has(name)) return refusal(401, 'UNAUTHORIZED', challengeOf(state));
  return state.repositories.has(name) ? refusal(403, 'DENIED') : refusal(404, 'NAME_UNKNOWN');
}

function listCatalog(state: ScriptedRegistry, grant: Grant, url: URL): Answer {
  if (!state.lists) return refusal(404, 'UNSUPPORTED');
  if (!grant.mayList) return refusal(401, 'UNAUTHORIZED', challengeOf(state));
  const [n, last] = [Number(url.searchParams.get('n') ?? 100), url.searchParams.get('last') ?? ''];
  if (state.listsAfterKnown && last !== '' && !state.repositories.has(last)) return json(200, { repositories: [] });
  const names = [...state.repositories.keys()].filter((name) => mayRead(state, grant.user, name) && name > last);
  return json(200, { repositories: names.toSorted().slice(0, n) });
}

function challengeOf({ auth, challenge, realm, url }: ScriptedRegistry): Record<string, string> {
  if (challenge === null) return {};
  const bearer = `Bearer realm="${realm ?? `${url}/token`}",service="registry"`;
  return { 'www-authenticate': challenge ?? (auth === 'bearer' ? bearer : 'Basic realm="registry"') };
}

/** Nothing that anybody could sign in with came to this server. */
export const sawNoSecret = ({ seen }: ScriptedRegistry, secret: string): boolean =>
  seen.every((request) => {
    const text = JSON.stringify(request);
    const encoded = Buffer.from(secret).toString('base64').replace(/=+$/, '').slice(0, -2);
    return request.headers.authorization === undefined && !text.includes(secret) && !text.includes(encoded);
  });
