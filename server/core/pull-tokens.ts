// Tokens that Lading makes for itself to give away: read-only, on one registry or for one project, in no list of tokens.

import { type Actor, deleteActor, forgetActors, insertActor, systemActor } from './actors.ts';
import { recordAudit } from './audit.ts';
import { hashSecret, newId, newSecret } from './ids.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { findProject, lockProject, type Project, projectUnknown, toTarget } from './projects.ts';
import { sealContext, sealedIn } from './sealed-columns.ts';
import { permissionsOfMode } from './token-rows.ts';
import { transact } from './transact.ts';

const dayMs = 24 * 60 * 60_000;
const lifetimeMs = 90 * dayMs;
/** Before its end, so that what still uses the old one when the new one is there has two weeks. */
const renewBeforeMs = 14 * dayMs;
/** What is handed out holds so long at least; copies of the one before hold on to their own end. */
const handOutForMs = 7 * dayMs;

type PullTokenInput = { teamId: string; name: string; registry: { id: string; projectId: string | null } };
export type PullToken = { id: string; secret: string; renewAt: number };

/** Opens one registry. */
export async function makePullToken(platform: Platform, { registry, ...input }: PullTokenInput): Promise<PullToken> {
  const { id, secret, expiresAt } = await insertPullToken(platform, {
    ...input,
    registryIds: [registry.id],
    projectIds: registry.projectId === null ? null : [registry.projectId],
  });
  return { id, secret, renewAt: expiresAt - renewBeforeMs };
}

type Reach = { registryIds: readonly string[] | null; projectIds: readonly string[] | null };
type MadeToken = { id: string; secret: string; expiresAt: number };

async function insertPullToken(
  platform: Platform,
  { teamId, name, registryIds, projectIds }: Reach & { teamId: string; name: string },
): Promise<MadeToken> {
  const now = platform.now();
  const [id, secret] = [newId(), newSecret('pull')];
  await insertActor(platform, {
    id,
    kind: 'pull',
    team_id: teamId,
    name,
    secret_hash: hashSecret(secret),
    generation: 1,
    permissions: JSON.stringify(permissionsOfMode.ro),
    registry_ids: registryIds && JSON.stringify(registryIds),
    project_ids: projectIds && JSON.stringify(projectIds),
    lifetime_ms: lifetimeMs,
    expires_at: now + lifetimeMs,
    revoked_at: null,
    last_used_at: null,
    created_at: now,
  });
  return { id, secret, expiresAt: now + lifetimeMs };
}

/** Call `forgetActors` after the commit. */
export async function endPullTokens(
  platform: Platform,
  teamId: string,
  ids: readonly (string | null)[],
): Promise<void> {
  for (const id of ids) if (id !== null) await deleteActor(platform, id, teamId);
}

/**
 * The project's own pull token, good for a week at least: the registries of the project and those of the whole team. Its
 * secret is kept, sealed, because it is handed out again. The caller has locked the project, so that two who ask at once
 * get the same one.
 */
export async function ensureProjectPullToken(platform: Platform, project: Project): Promise<MadeToken> {
  const current = await findProjectPullToken(platform, project.id);
  if (current) return current;
  await removeTokens(platform, project, platform.now());
  const made = await insertPullToken(platform, {
    teamId: project.teamId,
    name: `project ${project.slug}`,
    registryIds: null,
    projectIds: [project.id],
  });
  const row = {
    token_id: made.id,
    sealed_token: platform.secrets.seal(made.secret, contextOf(project.id)),
    renew_at: made.expiresAt - handOutForMs,
    expires_at: made.expiresAt,
  };
  await platform.db
    .insertInto('project_pull_tokens')
    .values({ project_id: project.id, ...row })
    .onConflict((oc) => oc.column('project_id').doUpdateSet(row))
    .execute();
  const detail = { token: made.id };
  const audit = { action: 'project.pull-token', target: toTarget(project), detail };
  await recordAudit(platform, systemActor(project.teamId), audit);
  return made;
}

const contextOf = (projectId: string) => sealContext(sealedIn.pullTokens, projectId);

async function findProjectPullToken({ db, now, secrets }: Platform, projectId: string): Promise<MadeToken | undefined> {
  const row = await db
    .selectFrom('project_pull_tokens as t')
    .innerJoin('actors as a', 'a.id', 't.token_id')
    .select(['t.token_id', 't.sealed_token', 't.expires_at'])
    .where('t.project_id', '=', projectId)
    .where('t.renew_at', '>=', now())
    .where('a.revoked_at', 'is', null)
    .executeTakeFirst();
  return (
    row && { id: row.token_id, secret: secrets.open(row.sealed_token, contextOf(projectId)), expiresAt: row.expires_at }
  );
}

/**
 * Ends the project's own pull token in all copies of pull secrets; the next hand-out has a new one. `project`: id or slug.
 * Throws `not_found`.
 */
export async function endProjectPullToken(
  platform: Platform,
  actor: Actor,
  { project: ref }: { project: string },
): Promise<void> {
  requirePermission(actor, 'tokens:write');
  await transact(platform, async (platform) => {
    const project = await findProject(platform, actor, ref);
    if (!project || !(await lockProject(platform, project.id))) throw projectUnknown(ref);
    await platform.db.deleteFrom('project_pull_tokens').where('project_id', '=', project.id).execute();
    await removeTokens(platform, project, Number.MAX_SAFE_INTEGER);
    await recordAudit(platform, actor, { action: 'pull-secret.end', target: toTarget(project) });
  });
  forgetActors(platform);
}

/** Those that end by then. Nothing else would ever remove the ones that nobody can use any more. */
async function removeTokens(platform: Platform, { id, teamId }: Project, endsBy: number): Promise<void> {
  const rows = await platform.db
    .selectFrom('actors')
    .select('id')
    .where('team_id', '=', teamId)
    .where('kind', '=', 'pull')
    .where('project_ids', '=', JSON.stringify([id]))
    .where('registry_ids', 'is', null)
    .where('expires_at', '<=', endsBy)
    .execute();
  await endPullTokens(
    platform,
    teamId,
    rows.map((row) => row.id),
  );
}
