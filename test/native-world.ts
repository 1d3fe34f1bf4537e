import type { Scope } from './database.ts';
import { type Json, type Native, nativeBase, type OpenApi, openNative } from './native-client.ts';
import { askerOf, basic, pushImage, withAuthorization } from './oci-client.ts';
import { seedTeam } from './platform.ts';

/** One of everything that a path can name, and the key of the team's owner. */
export type Holdings = {
  key: string;
  team: string;
  project: string;
  registry: string;
  registryName: string;
  repository: string;
  digest: string;
  tag: string;
  token: string;
  cluster: string;
  connection: string;
  apiKey: string;
  operation: string;
};

export type World = Native & { mine: Holdings; theirs: Holdings };

/** Two teams that have the same things under names of their own. */
export async function openWorld(t: Scope): Promise<World> {
  const native = await openNative(t);
  // A third team makes the second, or its making would stand in the first one's audit log.
  const root = await seedTeam(native.platform, 'root');
  const rival = (await native.call('POST /teams', { key: root.secret, body: { name: 'rival' } })).json;
  return {
    ...native,
    mine: await fillTeam(native, native.team.secret, 'mine'),
    theirs: await fillTeam(native, rival.apiKey.secret, 'theirs'),
  };
}

async function fillTeam({ app, call }: Native, key: string, name: string): Promise<Holdings> {
  const post = async (path: string, body: object): Promise<Json> => (await call(`POST ${path}`, { key, body })).json;
  const registry = await post('/registries', { name });
  await post('/registries', { name: `${name}-gone` });
  const operation = (await call(`DELETE /registries/${name}-gone`, { key })).json;
  const token = await post('/tokens', { name: `${name}-token`, scope: 'ro', registryIds: [registry.id] });
  const cluster = await post('/clusters', {
    name: `${name}-cluster`,
    server: 'https://127.0.0.1:1',
    token: 'a-secret',
  });
  const integration = { namespaces: ['default'], secretName: `${name}-pull` };
  await call(`PUT /registries/${name}/clusters/${cluster.id}`, { key, body: integration });
  const connection = await post('/connections', {
    name: `${name}-connection`,
    provider: 'oci',
    url: '127.0.0.1:1',
    username: 'ci',
    password: `planted-password-of-${name}`,
  });
  const apiKey = await post('/api-keys', { name: `${name}-key`, permissions: ['registries:read'] });
  const oci = withAuthorization(askerOf(app), basic(key));
  const digest = await pushImage(oci, `${name}/app/${name}`, `${name}-v1`, [`layer of ${name}`]);
  return {
    key,
    team: (await call('GET /teams/current', { key })).json.id,
    project: (await call('GET /projects', { key })).json.items[0].id,
    registry: registry.id,
    registryName: name,
    repository: `app/${name}`,
    digest,
    tag: `${name}-v1`,
    token: token.id,
    cluster: cluster.id,
    connection: connection.id,
    apiKey: apiKey.id,
    operation: operation.id,
  };
}

export type Endpoint = {
  id: string;
  method: string;
  /** Below `/lading/v1`, parameters in braces. */
  pattern: string;
  permission: string;
  query: readonly { name: string; schema: Json }[];
  body: string | undefined;
};

/** What the published document lists: a new endpoint is in every generated test without anybody adding it. */
export function endpointsOf(document: OpenApi): Endpoint[] {
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      id: operation.operationId,
      method: method.toUpperCase(),
      pattern: path.slice(nativeBase.length),
      permission: /`([a-z:-]+)`/.exec(operation.description)?.[1] ?? '',
      query: (operation.parameters ?? []).filter((one) => one.in === 'query'),
      body: Object.values(operation.requestBody?.content ?? {})[0]
        ?.schema.$ref.split('/')
        .at(-1),
    })),
  );
}

/** What a parameter of this path names. */
export function holdingOf(pattern: string, name: string, holdings: Holdings): string {
  if (name !== 'id') return holdings[name as keyof Holdings];
  const kind = { tokens: 'token', 'api-keys': 'apiKey', operations: 'operation' }[pattern.split('/')[1] ?? ''];
  return holdings[kind as keyof Holdings];
}

/** `GET /registries/…`, with each parameter from the holdings unless it is given. */
export function requestFor(
  { method, pattern }: Endpoint,
  holdings: Holdings,
  given: Readonly<Record<string, string>> = {},
): string {
  const path = pattern.replaceAll(
    /\{(\w+)\}/g,
    (_, name: string) => given[name] ?? encodeURIComponent(holdingOf(pattern, name, holdings)),
  );
  return `${method} ${path}`;
}

export const parametersOf = ({ pattern }: Endpoint) => [...pattern.matchAll(/\{(\w+)\}/g)].map((one) => one[1] ?? '');

/** A body that each endpoint accepts. */
export function bodyFor({ body }: Endpoint, holdings: Holdings): Record<string, unknown> | undefined {
  if (body === undefined) return undefined;
  const bodies: Readonly<Record<string, Record<string, unknown>>> = {
    CreateTeam: { name: 'A new team' },
    CreateRegistry: { name: 'a-new-registry' },
    UpdateRegistry: { isPublic: true, sizeLimitBytes: 123_456_789 },
    CreateCluster: { name: 'a new cluster', server: 'https://127.0.0.1:1', token: 'x' },
    UpdateCluster: { pool: 'elsewhere' },
    CreateConnection: {
      name: 'a new connection',
      provider: 'oci',
      url: '127.0.0.1:1',
      username: 'ci',
      password: 'x',
    },
    UpdateConnection: { description: 'changed' },
    ReplaceSecret: { password: 'another' },
    CreateProject: { name: 'a new project' },
    UpdateProject: { name: 'changed' },
    TestCluster: { namespace: 'default' },
    ConnectCluster: { namespaces: ['default'], secretName: 'pull' },
    CreateToken: { scope: 'ro', registryIds: [holdings.registry] },
    UpdateToken: { name: 'changed' },
    StartCollection: { deleteUntagged: true },
    CleanRepository: { tags: ['never'], collectGarbage: false },
    RenewToken: { expiresAt: '2099-01-01T00:00:00Z' },
    CreateApiKey: { name: 'a new key', permissions: ['keys:write'] },
  };
  const found = bodies[body];
  if (!found) throw new Error(`bodyFor knows no ${body}: add one, so that the generated tests reach its endpoint`);
  return found;
}
