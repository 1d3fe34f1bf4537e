import { createConnection, getConnection, type NewConnection } from '#core/connections.ts';
import type { Platform } from '#core/platform.ts';
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
    seen: (ref: string) => getConnection(platform, owner, ref),
  };
}

export type ConnectionWorld = Awaited<ReturnType<typeof openConnectionWorld>>;
