import type { Connection } from '#core/connection-rows.ts';
import {
  type ConnectionChange,
  createConnection,
  getConnection,
  type NewConnection,
  revealConnection,
  updateConnection,
} from '#core/connections.ts';
import type { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import { createProject } from '#core/projects.ts';
import type { Upstream } from '#core/upstream.ts';
import type { Scope } from './database.ts';
import { loopback, openTestPlatform, seedTeam } from './platform.ts';
import { type ScriptedRegistry, startRegistry } from './servers/registry.ts';

/** The same platform, where something happens between what the registry answers and what is made of it. */
export function afterCheck<P extends Platform>(platform: P, happens: () => Promise<unknown>): P {
  const { upstream } = platform;
  const check: Upstream['check'] = async (target) => {
    const answer = await upstream.check(target);
    await happens();
    return answer;
  };
  return { ...platform, upstream: { ...upstream, check } };
}

export const secretOfAlice = 'correct horse';

/** A team, and a scripted registry that the operator allowed, where `alice` may read `team/app`. */
export async function openConnectionWorld(t: Scope, registry?: ScriptedRegistry) {
  const scripted = registry ?? (await startRegistry(t));
  const platform = await openTestPlatform(t, {}, { allowed: loopback });
  const team = await seedTeam(platform, 'acme');
  const { owner } = team;
  /** As whoever may do everything in the team. */
  const connect = (input: Partial<NewConnection> = {}) =>
    createConnection(platform, owner, {
      name: 'scripted',
      provider: 'oci',
      url: scripted.url,
      username: 'alice',
      password: secretOfAlice,
      ...input,
    });
  const rowOf = (id: string) =>
    platform.db.selectFrom('connections').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  /** What the audit log says of each such action. */
  const detailsOf = async (action: string) =>
    (
      await platform.db.selectFrom('audit_events').select('detail').where('action', '=', action).orderBy('id').execute()
    ).map(({ detail }) => JSON.parse(detail));
  const actionsOf = async () =>
    (await platform.db.selectFrom('audit_events').select('action').orderBy('id').execute()).map(({ action }) => action);
  return {
    platform,
    team,
    owner,
    registry: scripted,
    connect,
    rowOf,
    actionsOf,
    detailsOf,
    seen: (ref: string) => getConnection(platform, owner, ref),
  };
}

export type ConnectionWorld = Awaited<ReturnType<typeof openConnectionWorld>>;

const login = { username: 'ci', password: 'old secret' };

/** A team with two projects and no connection; nothing here asks a registry. */
export async function openConnections(t: Scope) {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const { owner } = team;
  const { project: shop } = await createProject(platform, owner, { name: 'Shop' });
  const { project: blog } = await createProject(platform, owner, { name: 'Blog' });
  return {
    platform,
    team,
    owner,
    shop,
    blog,
    create: (input: Partial<NewConnection> = {}) =>
      createConnection(platform, owner, { name: 'One', provider: 'ghcr', ...login, ...input }),
    /** Of `one` unless another is named. */
    update: (change: Partial<ConnectionChange>) => updateConnection(platform, owner, { connection: 'one', ...change }),
    reveal: (ref = 'one') => revealConnection(platform, owner, ref),
  };
}

export const namesOf = ({ items }: { items: readonly Connection[] }) => items.map(({ name }) => name);

/** Takes the login of `openConnections` out of an input. */
export const noLogin = { username: undefined, password: undefined };

/** For `assert.rejects`. */
export const isAbout = (field: string) => (failure: Failure) =>
  failure.reason === 'invalid' && Object.keys(failure.detail.fields ?? {})[0] === field;
