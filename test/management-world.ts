// Two teams that have one of everything, on all management surfaces together, and who may ask for it.

import assert from 'node:assert/strict';
import { fillManagedRegistries } from '#core/managed-registries.ts';
import type { Scope } from './database.ts';
import { type Call, callerOf, type DialectAnswer } from './dialect-client.ts';
import { type Json, nativeBase } from './native-client.ts';
import {
  endpointsOf,
  type Holdings as NativeHoldings,
  bodyFor as nativeBodyFor,
  openWorld as openNativeWorld,
  type World,
} from './native-world.ts';
import { assertRefused as assertNodionRefused } from './nodion-world.ts';
import { assertRefused as assertNorthflankRefused } from './northflank-world.ts';
import { assertRefused as assertPaperspaceRefused } from './paperspace-world.ts';
import { listRoutes, parametersOf, type Route } from './route-list.ts';
import { assertRefused as assertSelectelRefused } from './selectel-world.ts';

/** What every parameter of every path may name, and `secret`s that are no parameter of any. */
export type Holdings = NativeHoldings & {
  teamSlug: string;
  projectSlug: string;
  clusterName: string;
  connectionSlug: string;
  managed: string;
  managedName: string;
  tokenSecret: string;
  robotSecret: string;
  /** Of the project that the team began with. */
  firstProject: string;
};

export type ManagementWorld = Omit<World, 'mine' | 'theirs' | 'call'> & {
  /** Of all surfaces but the data plane, health and what is for everybody. */
  routes: readonly Route[];
  mine: Holdings;
  theirs: Holdings;
  /** The whole path, as the first team's owner. */
  call: Call;
};

/** Not of a team, or with a protocol and tests of their own. A route that is in no list here is a management route. */
const others = /^\/(?:|healthz|readyz|metrics|v2(?:\/.*)?|token(?:\/jwks\.json)?|lading\/v1\/openapi\.json)$/;

export async function openManagementWorld(t: Scope): Promise<ManagementWorld> {
  let native: World | undefined;
  const routes = await listRoutes(async () => {
    native = await openNativeWorld(t);
  });
  assert.ok(native);
  const { platform, app, mine, theirs } = native;
  await fillManagedRegistries(platform);
  return {
    ...native,
    routes: routes.filter(({ url }) => !others.test(url)),
    call: callerOf(app, mine.key, ''),
    mine: await fill(native, mine, 'mine'),
    theirs: await fill(native, theirs, 'theirs'),
  };
}

async function fill({ platform, app }: World, held: NativeHoldings, name: string): Promise<Holdings> {
  const call = callerOf(app, held.key, '/lading/v1');
  const ask = async (asked: string, body?: object): Promise<Json> => {
    const answer = await call(asked, { body });
    assert.ok(answer.status < 300, `${asked}: ${answer.text}`);
    return answer.json;
  };
  const project = await ask('POST /projects', { name: `${name}-shop` });
  const [managed] = project.registries;
  const robot = await ask(`POST /registries/${managed.id}/robots`);
  const token = await ask('POST /tokens', { name: `${name}-other-token`, scope: 'rw', registryIds: [held.registry] });
  const team = await platform.db
    .selectFrom('teams')
    .select('slug')
    .where('id', '=', held.team)
    .executeTakeFirstOrThrow();
  return {
    ...held,
    teamSlug: team.slug,
    project: project.id,
    projectSlug: project.slug,
    firstProject: held.project,
    clusterName: `${name}-cluster`,
    connectionSlug: `${name}-connection`,
    managed: managed.id,
    managedName: managed.name,
    tokenSecret: token.secret,
    robotSecret: robot.secret,
  };
}

/** Everything that a parameter of this path may be called by; it fails for one that nobody has thought of. */
export function namesOf({ url }: Route, parameter: string, held: Holdings): string[] {
  const [surface = '', ...parts] = url
    .split('/')
    .filter((part) => !/^(?:v\d|northflank|paperspace.*|nodion|selectel)$/.test(part) && part !== '');
  const kind = [surface, ...parts][[surface, ...parts].indexOf(`:${parameter}`) - 1];
  const found = names[`${kind}/:${parameter}`];
  if (!found)
    throw new Error(`${url} has a parameter ${kind}/:${parameter} that no matrix knows: say what it may name`);
  return found(held);
}

const ofConnection = (held: Holdings) => [held.connection, held.connectionSlug];
const names: Readonly<Record<string, (held: Holdings) => string[]>> = {
  'teams/:team': (held) => [held.team, held.teamSlug],
  'teams/:teamId': (held) => [held.team, held.teamSlug],
  'projects/:project': (held) => [held.project, held.projectSlug],
  'registries/:registry': (held) => [held.registry, held.registryName],
  'registries/:id': (held) => [held.registry],
  'registries/:credentialId': ofConnection,
  'repositories/:repository': (held) => [held.repository],
  'repositories/:name': (held) => [held.repository],
  ':name/:reference': (held) => [held.digest, held.tag],
  'images/:digest': (held) => [held.digest],
  'tags/:tag': (held) => [held.tag],
  'tokens/:id': (held) => [held.token],
  'token/:token': (held) => [held.tokenSecret],
  'clusters/:cluster': (held) => [held.cluster, held.clusterName],
  'connections/:connection': ofConnection,
  'api-keys/:id': (held) => [held.apiKey],
  'operations/:id': (held) => [held.operation],
  'container-registries/:id': ofConnection,
  'container_registries/:id': (held) => [...ofConnection(held), held.managed],
};

/** The first name of each parameter. */
export const valuesOf = (route: Route, held: Holdings): Record<string, string> =>
  Object.fromEntries(parametersOf(route).map((one) => [one, namesOf(route, one, held)[0] ?? '']));

/** A body with which nothing but who asks, and for what, can be wrong. */
export function bodyFor(
  { document }: Pick<World, 'document'>,
  { method, url }: Route,
  held: Holdings,
): object | undefined {
  if (!/^(?:POST|PUT|PATCH)$/.test(method)) return undefined;
  if (!url.startsWith(nativeBase)) return dialectBodyFor(method, url);
  const pattern = url.slice(nativeBase.length).replaceAll(/:(\w+)/g, '{$1}');
  const endpoint = endpointsOf(document).find((one) => one.method === method && one.pattern === pattern);
  return endpoint && nativeBodyFor(endpoint, held);
}

let made = 0;

/** The vendors' surfaces ignore what they do not know, so that one body has the fields of all. */
function dialectBodyFor(method: string, url: string): object | undefined {
  if (/\/(?:garbage-collection|revoke|credentials)$/.test(url)) return undefined;
  if (/\/cleanup$/.test(url)) return { tags: ['never'], disable_gc: true };
  if (/\/tokens?(?:\/|$)/.test(url)) {
    const expiration = { isSet: true, expiresAt: '2099-01-01T00:00:00Z' };
    return { name: 'changed', scope: { allRegistries: true, modeRW: false }, expiration };
  }
  if (method !== 'POST' || /:/.test(url.replace(':teamId', ''))) {
    return { username: 'eve', password: 'x', url: 'https://a.example.com', name: `changed ${++made}` };
  }
  return {
    name: /registries$/.test(url) && url.includes('/api/') ? `made-${++made}` : `made ${++made}`,
    ...{ url: 'https://a.example.com', hostname: 'a.example.com', registryUrl: 'https://a.example.com' },
    ...{ username: 'eve', password: 'x', provider: 'custom', registry_type: 'custom', kind: 'other' },
  };
}

const forms: readonly [RegExp, (answer: DialectAnswer, what: string) => void][] = [
  [/^\/lading\//, assertNativeRefused],
  [/^\/(?:selectel\/)?api\//, assertSelectelRefused],
  [/^\/(?:northflank\/)?v1\/(?:integrations|teams|login)/, assertNorthflankRefused],
  [/^\/(?:(?:paperspace|paperspace-apisio)\/)?v1\/container-registries/, assertPaperspaceRefused],
  [/^\/(?:nodion\/)?v1\/container_registries/, assertNodionRefused],
];

/** A refusal, in the form of the surface that has this path. */
export function assertRefused(answer: DialectAnswer, url: string, what: string): void {
  const form = forms.find(([pattern]) => pattern.test(url))?.[1];
  assert.ok(form, `${url} belongs to no surface whose form of refusals is known here`);
  form(answer, what);
}

function assertNativeRefused({ status, headers, text }: DialectAnswer, what: string): void {
  assert.ok(status >= 400 && status < 500, `${what}: ${status} ${text}`);
  assert.match(headers['content-type'] ?? '', /^application\/problem\+json/, `${what}: ${text}`);
  const problem = JSON.parse(text);
  assert.deepEqual(
    [problem.status, typeof problem.detail, typeof problem.requestId],
    [status, 'string', 'string'],
    what,
  );
  assert.match(problem.type, /^\/problems\/[a-z_]+$/, what);
}

const tables = [
  ...(['teams', 'projects', 'registries', 'repositories', 'manifests', 'tags', 'clusters', 'connections'] as const),
  ...(['cluster_integrations', 'connection_projects', 'connection_tests', 'connection_uses', 'operations'] as const),
  ...(['actors', 'project_pull_tokens'] as const),
];

/** All that a refused request could have changed. When a key was last used is no change. */
export async function snapshot({ platform }: Pick<World, 'platform'>): Promise<string> {
  const rows: unknown[] = [];
  for (const table of tables) {
    const found = await platform.db.selectFrom(table).selectAll().execute();
    rows.push(found.map((row) => JSON.stringify({ ...row, last_used_at: 0 })).sort());
  }
  return JSON.stringify(rows);
}
