import type { Selectable } from 'kysely';
import type { Actor } from './actors.ts';
import { type ApiKey, insertApiKey } from './api-keys.ts';
import { recordAudit } from './audit.ts';
import { Failure } from './failure.ts';
import { newId, newSecret } from './ids.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { insertProject, type Project, requireWholeTeam } from './projects.ts';
import type { Registry } from './registry-rows.ts';
import type { TeamRow } from './schema.ts';
import { parseDisplayName, toSlug } from './slugs.ts';
import { transact } from './transact.ts';

export type Team = { id: string; name: string; slug: string; createdAt: number };

/** A new team with what it needs to begin. The secret is not kept: this is the one time it is seen. */
export type NewTeam = { team: Team; project: Project; registries: Registry[]; key: ApiKey; secret: string };

/** Throws `conflict` if the slug made of the name is taken. */
export async function createTeam(platform: Platform, actor: Actor, input: { name: string }): Promise<NewTeam> {
  requirePermission(actor, 'teams:write');
  requireWholeTeam(actor, 'make a team');
  return transact(platform, async (platform) => {
    const made = await insertTeam(platform, { name: input.name, permissions: ['*'], secret: newSecret('key') });
    if (!made) {
      throw new Failure('conflict', `There is a team ${toSlug(input.name, 'team')} already. Choose another name.`, {
        about: 'team',
        fields: { '/name': 'another team has this slug' },
      });
    }
    const { team, key } = made;
    const target = { kind: 'team', id: team.id, name: team.slug };
    await recordAudit(platform, actor, { action: 'team.create', target });
    // The new team sees whence its first key came.
    const keyTarget = { kind: 'key', id: key.id, name: key.name };
    await recordAudit(platform, actor, { action: 'key.create', target: keyTarget, teamId: team.id });
    return made;
  });
}

/** Without authorisation or audit. Undefined if the slug is taken. */
export async function insertTeam(
  platform: Platform,
  input: { name: string; permissions: readonly string[]; secret: string },
): Promise<NewTeam | undefined> {
  const name = parseDisplayName(input.name, 'team');
  const row = await platform.db
    .insertInto('teams')
    .values({ id: newId(), name, slug: toSlug(name, 'team'), created_at: platform.now() })
    .onConflict((oc) => oc.column('slug').doNothing())
    .returningAll()
    .executeTakeFirst();
  if (!row) return undefined;
  const team = toTeam(row);
  const { project, registries } = await insertProject(platform, team.id, 'default');
  const key = await insertApiKey(platform, {
    teamId: team.id,
    name: 'owner',
    permissions: input.permissions,
    projectIds: null,
    secret: input.secret,
    expiry: null,
  });
  return { team, project, registries, key, secret: input.secret };
}

/** The actor's own team. */
export async function getTeam({ db }: Platform, actor: Actor): Promise<Team> {
  requirePermission(actor, 'projects:read');
  return toTeam(await db.selectFrom('teams').selectAll().where('id', '=', actor.teamId).executeTakeFirstOrThrow());
}

/** For surfaces whose paths name the team: the actor's own, by id or slug. Throws `not_found` for any other, in one text. */
export async function requireOwnTeam({ db }: Platform, actor: Actor, ref: string): Promise<void> {
  if (ref === actor.teamId) return;
  const team = await db.selectFrom('teams').select('slug').where('id', '=', actor.teamId).executeTakeFirst();
  if (ref === team?.slug) return;
  throw new Failure('not_found', `There is no team ${JSON.stringify(ref.slice(0, 80))}.`, { about: 'team' });
}

function toTeam(row: Selectable<TeamRow>): Team {
  return { id: row.id, name: row.name, slug: row.slug, createdAt: row.created_at };
}
