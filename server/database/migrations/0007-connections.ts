import type { Migration } from '../migrate.ts';

/**
 * Connections: the external registries of a team, with what opens them. Who may use one, how it stood each time it was
 * tried, and who was given it are rows of their own. A project's pull token is the hosted part of its pull secret.
 */
export const connections: Migration = {
  number: 7,
  name: 'connections',
  statements: ({ text, bigint, table, keyed }) => [
    `create table connections (
      id ${text} primary key, team_id ${text} not null references teams, name ${text} not null,
      folded_name ${text} not null, slug ${text} not null, description ${text} not null, provider ${text} not null,
      url ${text} not null, host ${text} not null, namespace ${text} not null, username ${text} not null,
      sealed_secret ${text}, replacement_username ${text}, sealed_replacement ${text}, aws_region ${text},
      token_host ${text}, is_restricted ${bigint} not null, version ${bigint} not null,
      status ${text} not null check (status in ('untested', 'passed', 'failed')), tested_at ${bigint},
      credentials_expire_at ${bigint}, test_due_at ${bigint} not null, worker ${text}, claimed_until ${bigint}, created_at ${bigint} not null,
      updated_at ${bigint} not null, unique (team_id, folded_name), unique (team_id, slug)
    ) ${table}`,
    'create index connections_by_team on connections (team_id, id)',
    'create index connections_by_test on connections (test_due_at)',
    'create index connections_by_team_and_test on connections (team_id, test_due_at)',
    `create table connection_projects (
      connection_id ${text} not null references connections, project_id ${text} not null,
      primary key (connection_id, project_id)
    ) ${keyed}`,
    'create index connection_projects_by_project on connection_projects (project_id)',
    `create table connection_tests (
      id ${text} primary key, connection_id ${text} not null references connections, cause ${text} not null,
      passed ${bigint} not null, failed_step ${text}, message ${text} not null, steps ${text} not null,
      latency_ms ${bigint} not null, rate_limit ${text}, credentials_expire_at ${bigint}, created_at ${bigint} not null
    ) ${table}`,
    'create index connection_tests_by_connection on connection_tests (connection_id, id)',
    `create table connection_uses (
      connection_id ${text} not null references connections, project_id ${text} not null, actor_id ${text} not null,
      actor_name ${text} not null, times ${bigint} not null, last_used_at ${bigint} not null,
      primary key (connection_id, project_id, actor_id)
    ) ${keyed}`,
    `create table project_pull_tokens (
      project_id ${text} primary key references projects, token_id ${text} not null, sealed_token ${text} not null,
      renew_at ${bigint} not null, expires_at ${bigint} not null
    ) ${table}`,
  ],
};
