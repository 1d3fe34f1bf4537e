// What a project needs to pull: the credentials of every connection that it may use, and a token for the registries here,
// as a Docker config. One of the doors through which stored secrets leave; each hand-out is written down.

import type { Actor } from './actors.ts';
import { requireNotRevoked } from './actors.ts';
import { recordAudit } from './audit.ts';
import { readLastTests } from './connection-last-tests.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { findProject, lockProject, type Project, projectUnknown, toTarget } from './projects.ts';
import { claimConnections, type Logins, listUsable, lockUsable, requestLogins } from './pull-secret-claims.ts';
import {
  arrangeClaims,
  type DockerAuth,
  type PullSecretClaim,
  type PullSecretEntry,
  type PullSecretSource,
} from './pull-secret-entries.ts';
import { ensureProjectPullToken } from './pull-tokens.ts';
import { transact } from './transact.ts';

export type PullSecret = {
  project: Project;
  /** Docker's config.json. */
  config: { auths: Readonly<Record<string, DockerAuth>> };
  /** Sentences about what is left out, and who had to give way to whom. */
  warnings: readonly string[];
  /** What is in `config` and whose it is, without secrets. */
  entries: readonly PullSecretEntry[];
  /** When the first of its parts ends. One that has ended already is a warning. */
  expiresAt: number;
};

/**
 * Id or slug. Another team's project, and one that the key is not bound to, is `not_found`. Asks providers that make tokens (ECR), so it takes as long as they do; what they refuse is a warning.
 */
export async function getPullSecret(
  platform: Platform,
  actor: Actor,
  { project: ref }: { project: string },
): Promise<PullSecret> {
  requirePermission(actor, 'pull-secrets:read');
  const project = await findProject(platform, actor, ref);
  if (!project) throw projectUnknown(ref);
  const logins = await requestLogins(platform, await listUsable(platform, actor, project.id));
  return transact(platform, (platform) => handOut(platform, actor, { project, ref, logins }));
}

type HandOut = { project: Project; ref: string; logins: Logins };

async function handOut(platform: Platform, actor: Actor, { project, ref, logins }: HandOut): Promise<PullSecret> {
  // Providers were waited for: the key may have been revoked meanwhile, the project deleted, a connection taken away.
  await requireNotRevoked(platform, actor);
  const rows = await lockUsable(platform, actor, project.id);
  if (!(await lockProject(platform, project.id))) throw projectUnknown(ref);
  const hosted = await claimHosted(platform, project);
  const lastTests = await readLastTests(
    platform,
    rows.map(({ id }) => id),
  );
  const { claims, warnings } = claimConnections(platform, rows, logins, lastTests);
  const arranged = arrangeClaims([...hosted, ...claims]);
  const connections = connectionsOf(arranged.entries);
  await noteUses(platform, actor, project, connections);
  const detail = { connections: connections.map(({ id, slug }) => ({ id, slug })) };
  await recordAudit(platform, actor, { action: 'pull-secret.read', target: toTarget(project), detail });
  return {
    project,
    config: { auths: arranged.auths },
    warnings: [...warnings, ...arranged.warnings],
    entries: arranged.entries,
    expiresAt: firstEnd(arranged.entries, platform.now()),
  };
}

function firstEnd(entries: readonly PullSecretEntry[], now: number): number {
  return Math.min(...entries.flatMap(({ expiresAt }) => (expiresAt !== null && expiresAt > now ? expiresAt : [])));
}

/** One token opens the registries of all regions. */
async function claimHosted(platform: Platform, project: Project): Promise<PullSecretClaim[]> {
  const { secret, expiresAt } = await ensureProjectPullToken(platform, project);
  const credentials = { username: 'token', password: secret };
  const source = { kind: 'hosted' } as const;
  return platform.config.regions.map(({ host }) => ({ source, host, namespace: '', credentials, expiresAt }));
}

type Used = Extract<PullSecretSource, { kind: 'connection' }>;

function connectionsOf(entries: readonly PullSecretEntry[]): Used[] {
  const byId = new Map<string, Used>();
  for (const { source } of entries) if (source.kind === 'connection') byId.set(source.id, source);
  return [...byId.values()];
}

/** Rows of one statement: an engine has a bound on its parameters. */
const usesAtOnce = 500;

async function noteUses({ db, now }: Platform, actor: Actor, project: Project, used: readonly Used[]): Promise<void> {
  for (let start = 0; start < used.length; start += usesAtOnce) {
    const rows = used.slice(start, start + usesAtOnce).map(({ id }) => ({
      connection_id: id,
      project_id: project.id,
      actor_id: actor.id,
      actor_name: actor.name,
      times: 1,
      last_used_at: now(),
    }));
    await db
      .insertInto('connection_uses')
      .values(rows)
      .onConflict((oc) =>
        oc.columns(['connection_id', 'project_id', 'actor_id']).doUpdateSet((eb) => ({
          times: eb('connection_uses.times', '+', 1),
          last_used_at: now(),
          actor_name: actor.name,
        })),
      )
      .execute();
  }
}
