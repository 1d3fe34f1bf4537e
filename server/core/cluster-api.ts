// The four calls that are made to a Kubernetes API server: its version, and reading, writing and removing one Secret.

import { type ClusterAccess, toOutboundTls } from './cluster-credentials.ts';
import { isFault, type OutboundAnswer, type OutboundRequest, type OutboundStep } from './outbound.ts';
import type { Platform } from './platform.ts';

type Labels = Readonly<Record<string, string>>;

/** As the API server holds it; only what is looked at. */
export type Secret = {
  metadata: { resourceVersion: string; uid: string; labels: Labels; annotations: Labels };
  type: string;
  data: Readonly<Record<string, string>>;
};

/** What is to be there. `data` is base64. */
export type SecretContent = { labels: Labels; type: string; data: Readonly<Record<string, string>> };

/** `failedAt` undefined: the server answered, and refused with `status`. */
export type ClusterFault = { message: string; failedAt?: OutboundStep; status?: number };

export type SecretCall = { access: ClusterAccess; namespace: string; name: string };
type WriteCall = SecretCall & { content: SecretContent; isDryRun?: boolean };

export const isClusterFault = (result: object | undefined): result is ClusterFault =>
  result !== undefined && 'message' in result;

const callTimeoutMs = 5_000;
const answerBytesMax = 2 * 1024 * 1024;

export async function readVersion(
  platform: Platform,
  access: ClusterAccess,
): Promise<{ version: string } | ClusterFault> {
  const answer = await call(platform, access, { method: 'GET', path: '/version' });
  if (isClusterFault(answer)) return answer;
  const version = (answer.json as { gitVersion?: unknown } | undefined)?.gitVersion;
  if (answer.status === 200 && typeof version === 'string') return { version: version.slice(0, 100) };
  return refusal(answer, 'It does not answer as a Kubernetes API server does.');
}

/** Undefined if it is not there. */
export async function readSecret(platform: Platform, at: SecretCall): Promise<Secret | undefined | ClusterFault> {
  const answer = await call(platform, at.access, { method: 'GET', path: pathOf(at) });
  if (isClusterFault(answer)) return answer;
  if (answer.status === 404 && isStatus(answer.json)) return undefined;
  const secret = answer.status === 200 ? toSecret(answer.json) : undefined;
  return secret ?? refusal(answer, `The Secret ${at.name} in namespace ${at.namespace} cannot be read.`);
}

/** Undefined when it is made. */
export async function createSecret(platform: Platform, at: WriteCall): Promise<undefined | ClusterFault> {
  const body = toObject(at, { name: at.name, namespace: at.namespace, labels: at.content.labels });
  const path = `${listPathOf(at)}${dryRun(at)}`;
  return done(await call(platform, at.access, { method: 'POST', path, body }), at, 'made');
}

/** Only over the version that was read: whoever wrote in between wins, and this is a fault with status 409. */
export async function replaceSecret(
  platform: Platform,
  at: WriteCall & { read: Secret },
): Promise<undefined | ClusterFault> {
  const { resourceVersion, uid, labels, annotations } = at.read.metadata;
  const metadata = {
    name: at.name,
    namespace: at.namespace,
    ...(resourceVersion !== '' && { resourceVersion, uid }),
    labels: { ...labels, ...at.content.labels },
    annotations,
  };
  const path = `${pathOf(at)}${dryRun(at)}`;
  return done(await call(platform, at.access, { method: 'PUT', path, body: toObject(at, metadata) }), at, 'written');
}

/** Only the version that was read, where one was. A Secret that is not there is a success. */
export async function deleteSecret(
  platform: Platform,
  at: SecretCall & { read?: Secret; isDryRun?: boolean },
): Promise<undefined | ClusterFault> {
  const preconditions = at.read && {
    uid: at.read.metadata.uid,
    resourceVersion: at.read.metadata.resourceVersion,
  };
  const body = {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    ...(preconditions && { preconditions }),
    ...(at.isDryRun && { dryRun: ['All'] }),
  };
  const answer = await call(platform, at.access, { method: 'DELETE', path: `${pathOf(at)}${dryRun(at)}`, body });
  if (!isClusterFault(answer) && answer.status === 404 && isStatus(answer.json)) return undefined;
  return done(answer, at, 'removed');
}

const dryRun = ({ isDryRun }: { isDryRun?: boolean }) => (isDryRun ? '?dryRun=All' : '');
const listPathOf = ({ namespace }: SecretCall) => `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;
const pathOf = (at: SecretCall) => `${listPathOf(at)}/${encodeURIComponent(at.name)}`;

function toObject({ content }: WriteCall, metadata: object): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata, type: content.type, data: content.data };
}

/** `secret`: what a server that repeats our request must not put into a message. */
type Answer = { status: number; json: unknown; secret: string };
type Call = { method: OutboundRequest['method']; path: string; body?: object };

async function call(
  platform: Platform,
  access: ClusterAccess,
  { method, path, body }: Call,
): Promise<Answer | ClusterFault> {
  const { credentials } = access;
  const result = await platform.outbound({
    method,
    url: `${access.server}${path}`,
    headers: {
      accept: 'application/json',
      ...('token' in credentials && { authorization: `Bearer ${credentials.token}` }),
      ...(body && { 'content-type': 'application/json' }),
    },
    body: body && JSON.stringify(body),
    tls: toOutboundTls(access),
    timeoutMs: callTimeoutMs,
    answerBytesMax,
    // An API server redirects nobody: whoever does is not one.
    redirectsMax: 0,
  });
  if (isFault(result)) return result;
  return { status: result.status, json: parseJson(result), secret: 'token' in credentials ? credentials.token : '' };
}

function parseJson({ body }: OutboundAnswer): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    return undefined;
  }
}

function done(answer: Answer | ClusterFault, at: SecretCall, verb: string): undefined | ClusterFault {
  if (isClusterFault(answer)) return answer;
  if (answer.status >= 200 && answer.status < 300) return undefined;
  return refusal(answer, `The Secret ${at.name} in namespace ${at.namespace} cannot be ${verb}.`);
}

type Status = { kind: 'Status'; message?: unknown };
const isStatus = (json: unknown): json is Status => (json as Status | undefined)?.kind === 'Status';

/** What it says itself is repeated only in the form of an API server's refusal: other servers' pages are nobody's business. */
function refusal({ status, json, secret }: Answer, sentence: string): ClusterFault {
  const message = isStatus(json) && typeof json.message === 'string' ? json.message : `status ${status}`;
  const said = (secret === '' ? message : message.replaceAll(secret, '…')).slice(0, 300);
  if (status === 401) return { status, message: 'The cluster does not accept the credentials it was registered with.' };
  return { status, message: `${sentence} The cluster says: ${said}` };
}

function toSecret(json: unknown): Secret | undefined {
  const { kind, metadata, type, data } = (json ?? {}) as Readonly<Record<string, unknown>>;
  const { resourceVersion, uid, labels, annotations } = (metadata ?? {}) as Readonly<Record<string, unknown>>;
  if (kind !== 'Secret' || typeof resourceVersion !== 'string' || typeof uid !== 'string') return undefined;
  return {
    metadata: { resourceVersion, uid, labels: toTexts(labels), annotations: toTexts(annotations) },
    type: typeof type === 'string' ? type : '',
    data: toTexts(data),
  };
}

const toTexts = (value: unknown): Record<string, string> =>
  Object.fromEntries(
    Object.entries((value ?? {}) as Record<string, unknown>).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  );
