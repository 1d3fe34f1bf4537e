// A Kubernetes API server as far as Secrets go: the checks, statuses and words of the real one (apimachinery's
// validation, optimistic concurrency, RBAC's refusals), kept in memory. `test/peers/kubernetes.ts` runs the same steps
// against the real program.

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Scope } from '../database.ts';
import { type Authority, makeAuthority } from './certificates.ts';

// biome-ignore lint/suspicious/noExplicitAny: bodies as they come.
type Json = any;

export type StoredSecret = { metadata: Json; type: string; data: Record<string, string>; immutable?: boolean };
type Verb = 'get' | 'create' | 'update' | 'delete';
/** Who may do what where; without namespaces everywhere. */
export type Grant = { verbs: readonly Verb[]; namespaces?: readonly string[] };

type Instead = undefined | 'hang' | { status: number; body?: string; headers?: object };

export type Kubernetes = {
  url: string;
  port: number;
  authority: Authority;
  token: string;
  namespaces: Set<string>;
  /** By token, and by the common name of a client certificate. */
  grants: Map<string, Grant>;
  /** By `namespace/name`. */
  secrets: Map<string, StoredSecret>;
  /** `GET /version`, in order. */
  requests: string[];
  /** Runs before each request is answered; what it answers is sent instead. `hang` sends nothing. */
  before: ((request: string) => Instead | Promise<Instead>) | undefined;
  /** Puts a Secret there as somebody else would. */
  plant(namespace: string, name: string, secret: Partial<StoredSecret>): void;
};

const everything: Grant = { verbs: ['get', 'create', 'update', 'delete'] };

export async function startKubernetes(t: Scope): Promise<Kubernetes> {
  const authority = makeAuthority(t, 'kubernetes');
  const { certificatePem, keyPem } = authority.issue('apiserver', { altName: 'IP:127.0.0.1' });
  const state: Kubernetes = {
    url: '',
    port: 0,
    authority,
    token: `sa-${randomUUID()}`,
    namespaces: new Set(['default', 'apps']),
    grants: new Map(),
    secrets: new Map(),
    requests: [],
    before: undefined,
    plant(namespace, name, { metadata, type = 'Opaque', data = {}, ...rest }) {
      store(state, namespace, name, { metadata: { labels: {}, ...metadata }, type, data, ...rest });
    },
  };
  state.grants.set(state.token, everything);
  const tls = { cert: certificatePem, key: keyPem, ca: authority.caPem, requestCert: true, rejectUnauthorized: false };
  const server = createServer(tls, (request, response) => void answer(state, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  state.port = (server.address() as AddressInfo).port;
  state.url = `https://127.0.0.1:${state.port}`;
  return state;
}

type Answer = { status: number; body: Json };

async function answer(state: Kubernetes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const asked = `${request.method} ${request.url}`;
  state.requests.push(asked);
  const instead = await state.before?.(asked);
  if (instead === 'hang') return;
  if (instead) {
    response.writeHead(instead.status, { ...instead.headers }).end(instead.body ?? '');
    return;
  }
  const { status, body } = decide(state, request, Buffer.concat(chunks).toString('utf8'));
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

const failure = (code: number, reason: string | undefined, message: string): Answer => ({
  status: code,
  body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code },
});

function decide(state: Kubernetes, request: IncomingMessage, text: string): Answer {
  const url = new URL(request.url ?? '', 'https://x');
  const user = userOf(state, request);
  if (user === undefined) return failure(401, 'Unauthorized', 'Unauthorized');
  if (url.pathname === '/version' && request.method === 'GET') {
    return { status: 200, body: { major: '1', minor: '34', gitVersion: 'v1.34.0-scripted', platform: 'linux/amd64' } };
  }
  const [, namespace, name] = /^\/api\/v1\/namespaces\/([^/]+)\/secrets(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
  const verb = verbOf(request.method, name);
  if (namespace === undefined || verb === undefined) return failure(404, 'NotFound', 'the server could not find it');
  const grant = state.grants.get(user);
  if (!grant?.verbs.includes(verb) || (grant.namespaces && !grant.namespaces.includes(namespace))) {
    const where = `resource "secrets" in API group "" in the namespace "${namespace}"`;
    const what = name === undefined ? 'secrets is' : `secrets "${name}" is`;
    return failure(403, 'Forbidden', `${what} forbidden: User "${user.slice(0, 4)}" cannot ${verb} ${where}`);
  }
  if (text !== '' && request.headers['content-type'] !== 'application/json') {
    return failure(415, 'UnsupportedMediaType', 'the body of the request was in an unknown format');
  }
  const dryRun = url.searchParams.getAll('dryRun');
  if (dryRun.some((one) => one !== 'All')) return failure(422, 'Invalid', 'dryRun: Unsupported value');
  const body = text === '' ? undefined : parse(text);
  if (body === null) return failure(400, 'BadRequest', 'the object provided is unrecognized');
  return act(state, { verb, namespace, name, body, isDryRun: dryRun.length > 0 });
}

function verbOf(method: string | undefined, name: string | undefined): Verb | undefined {
  if (name === undefined) return method === 'POST' ? 'create' : undefined;
  return ({ GET: 'get', PUT: 'update', DELETE: 'delete' } as const)[method ?? ''];
}

function userOf(state: Kubernetes, request: IncomingMessage): string | undefined {
  const socket = request.socket as TLSSocket;
  const bearer = request.headers.authorization?.replace(/^Bearer /, '');
  if (bearer !== undefined) return state.grants.has(bearer) ? bearer : undefined;
  if (socket.authorized) return String(socket.getPeerCertificate().subject.CN);
  return undefined;
}

function parse(text: string): Json | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

type Act = { verb: Verb; namespace: string; name: string | undefined; body: Json; isDryRun: boolean };

function act(state: Kubernetes, { verb, namespace, name = '', body, isDryRun }: Act): Answer {
  const key = `${namespace}/${verb === 'create' ? body?.metadata?.name : name}`;
  const current = state.secrets.get(key);
  const missing = failure(404, 'NotFound', `secrets "${name}" not found`);
  if (verb === 'get') return current ? { status: 200, body: shown(current) } : missing;
  if (verb === 'delete') return remove(state, { key, current, body, isDryRun, missing });
  const fault = faultOf(body, namespace, verb === 'update' ? name : undefined);
  if (fault) return fault;
  if (!state.namespaces.has(namespace)) return failure(404, 'NotFound', `namespaces "${namespace}" not found`);
  if (verb === 'create') {
    if (body.metadata.resourceVersion) return failure(500, undefined, 'resourceVersion should not be set');
    if (current) return failure(409, 'AlreadyExists', `secrets "${body.metadata.name}" already exists`);
  } else {
    if (!current) return missing;
    const { resourceVersion, uid } = body.metadata;
    const isStale = resourceVersion && resourceVersion !== current.metadata.resourceVersion;
    if (isStale || (uid && uid !== current.metadata.uid)) {
      return failure(
        409,
        'Conflict',
        `Operation cannot be fulfilled on secrets "${name}": the object has been modified`,
      );
    }
    if (body.type !== current.type)
      return failure(422, 'Invalid', `Secret "${name}" is invalid: type: field is immutable`);
    if (current.immutable) return failure(422, 'Invalid', `Secret "${name}" is invalid: data: field is immutable`);
  }
  const made = isDryRun ? body : store(state, namespace, body.metadata.name, body);
  return { status: verb === 'create' ? 201 : 200, body: shown(made) };
}

function store(state: Kubernetes, namespace: string, name: string, secret: StoredSecret): StoredSecret {
  const key = `${namespace}/${name}`;
  const uid = state.secrets.get(key)?.metadata.uid ?? randomUUID();
  const stored = structuredClone(secret);
  stored.metadata = { ...stored.metadata, name, namespace, uid, resourceVersion: `${++versions}` };
  state.secrets.set(key, stored);
  return stored;
}

let versions = 100;

const shown = (secret: StoredSecret) => ({ kind: 'Secret', apiVersion: 'v1', ...secret });

type Removal = { key: string; current: StoredSecret | undefined; body: Json; isDryRun: boolean; missing: Answer };

function remove(state: Kubernetes, { key, current, body, isDryRun, missing }: Removal): Answer {
  // With a body the query says nothing: the options are the body.
  if (body && (body.kind !== 'DeleteOptions' || body.apiVersion !== 'v1')) {
    return failure(400, 'BadRequest', 'converting to DeleteOptions: unknown');
  }
  if (!current) return missing;
  const { uid, resourceVersion } = body?.preconditions ?? {};
  const isOther =
    (uid && uid !== current.metadata.uid) || (resourceVersion && resourceVersion !== current.metadata.resourceVersion);
  if (isOther) return failure(409, 'Conflict', 'the precondition does not match');
  if (!(body ? body.dryRun?.includes('All') : isDryRun)) state.secrets.delete(key);
  return { status: 200, body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' } };
}

const fields = ['kind', 'apiVersion', 'metadata', 'type', 'data', 'immutable'];
const metadataFields = ['name', 'namespace', 'labels', 'annotations', 'resourceVersion', 'uid'];
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const labelName = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** As with fieldValidation=Strict: what the real server would only warn of is a fault here. */
function faultOf(body: Json, namespace: string, name: string | undefined): Answer | undefined {
  const bad = (message: string) => failure(400, 'BadRequest', message);
  const invalid = (message: string) => failure(422, 'Invalid', `Secret is invalid: ${message}`);
  if (typeof body !== 'object' || body?.kind !== 'Secret' || body.apiVersion !== 'v1') return bad('no kind "Secret"');
  const unknown = Object.keys(body).find((one) => !fields.includes(one)) ?? unknownMetadata(body.metadata);
  if (unknown) return bad(`strict decoding error: unknown field "${unknown}"`);
  const { metadata, data, type } = body;
  if (name !== undefined && metadata.name !== name)
    return bad('the name of the object does not match the name on the URL');
  if (metadata.namespace !== namespace)
    return bad('the namespace of the object does not match the namespace on the request');
  if (!subdomain.test(metadata.name)) return invalid('metadata.name');
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (!labelName.test(key) || typeof value !== 'string' || !labelValue.test(value)) return invalid(`label ${key}`);
  }
  for (const value of Object.values(data ?? {})) {
    if (typeof value !== 'string' || !base64.test(value)) return bad('illegal base64 data');
  }
  if (type !== 'kubernetes.io/dockerconfigjson') return undefined;
  const config = parse(Buffer.from(data?.['.dockerconfigjson'] ?? '', 'base64').toString('utf8'));
  return config === null || typeof config !== 'object' ? invalid('data[.dockerconfigjson]') : undefined;
}

const unknownMetadata = (metadata: object) => Object.keys(metadata ?? {}).find((one) => !metadataFields.includes(one));
