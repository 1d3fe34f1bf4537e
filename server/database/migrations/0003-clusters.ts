import type { Migration } from '../migrate.ts';

/**
 * Kubernetes clusters, and which registry supplies which of their namespaces. A registry may be gone before its Secrets
 * are, so nothing refers to it. Neither engine changes a check in place, so that the table of actors is made anew for
 * the kind `pull`: tokens that Lading makes, keeps and renews itself.
 */
export const clusters: Migration = {
  number: 3,
  name: 'clusters',
  statements: ({ text, bigint, table }) => [
    `create table actors_anew (
      id ${text} primary key, kind ${text} not null check (kind in ('key', 'token', 'robot', 'pull')),
      team_id ${text} not null references teams, name ${text} not null, secret_hash ${text} not null unique,
      generation ${bigint} not null, permissions ${text} not null, project_ids ${text}, registry_ids ${text},
      lifetime_ms ${bigint}, expires_at ${bigint}, revoked_at ${bigint}, last_used_at ${bigint},
      created_at ${bigint} not null
    ) ${table}`,
    `insert into actors_anew (${actorColumns}) select ${actorColumns} from actors`,
    'drop table actors',
    'alter table actors_anew rename to actors',
    'create index actors_by_team on actors (team_id, kind, id)',

    `create table clusters (
      id ${text} primary key, team_id ${text} not null references teams, name ${text} not null, pool ${text} not null,
      server ${text} not null, ca_pem ${text}, sealed_credentials ${text} not null,
      state ${text} not null check (state in ('active', 'deleting')), created_at ${bigint} not null,
      updated_at ${bigint} not null
    ) ${table}`,
    `create unique index clusters_by_name on clusters (team_id, name) where state = 'active'`,
    `create table cluster_integrations (
      id ${text} primary key, team_id ${text} not null, cluster_id ${text} not null references clusters,
      registry_id ${text} not null, namespaces ${text} not null, secret_name ${text} not null,
      state ${text} not null check (state in ('connected', 'disconnecting')), version ${bigint} not null,
      supplied_version ${bigint} not null, places ${text} not null, token_id ${text}, sealed_token ${text},
      token_renew_at ${bigint}, previous_token_id ${text}, due_at ${bigint} not null, worker ${text},
      claimed_until ${bigint}, attempts ${bigint} not null, error ${text}, supplied_at ${bigint},
      created_at ${bigint} not null, updated_at ${bigint} not null, unique (cluster_id, registry_id)
    ) ${table}`,
    'create index cluster_integrations_by_registry on cluster_integrations (registry_id)',
    'create index cluster_integrations_by_due on cluster_integrations (due_at)',
  ],
};

const actorColumns = `id, kind, team_id, name, secret_hash, generation, permissions, project_ids, registry_ids,
  lifetime_ms, expires_at, revoked_at, last_used_at, created_at`;
