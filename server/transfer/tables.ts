import type { Schema } from '#core/schema.ts';

/** Written by the copy itself: objects as they come, holds never, the installation's own row at its beginning and end. */
type OwnTable = 'objects' | 'holds' | 'installations';
export type CopiedTable = Exclude<keyof Schema, OwnTable>;

/**
 * The primary keys, by which rows are read page by page, in an order in which each row finds what it refers to. A table
 * that is missing here does not pass the type check.
 */
const keys: Readonly<Record<CopiedTable, readonly string[]>> = {
  regions: ['id'],
  teams: ['id'],
  projects: ['id'],
  registries: ['id'],
  repositories: ['id'],
  blobs: ['registry_id', 'digest'],
  repository_blobs: ['repository_id', 'digest'],
  manifests: ['repository_id', 'digest'],
  manifest_references: ['repository_id', 'manifest_digest', 'child_digest'],
  tags: ['repository_id', 'name'],
  uploads: ['id'],
  upload_parts: ['upload_id', 'number'],
  actors: ['id'],
  operations: ['id'],
  signing_keys: ['id'],
  audit_events: ['id'],
  clusters: ['id'],
  cluster_integrations: ['id'],
  connections: ['id'],
  connection_projects: ['connection_id', 'project_id'],
  connection_tests: ['id'],
  connection_uses: ['connection_id', 'project_id', 'actor_id'],
  project_pull_tokens: ['project_id'],
  request_windows: ['actor_id'],
};

export type Table = { name: CopiedTable; key: readonly string[] };

export const tables: readonly Table[] = Object.entries(keys).map(([name, key]) => ({
  name: name as CopiedTable,
  key,
}));

export type Row = Readonly<Record<string, unknown>>;

/** What is true of a row in another place, where no worker has begun anything yet. */
export function adaptRow(table: CopiedTable, row: Row): Row {
  if (!('worker' in row)) return row;
  const free = { ...row, worker: null, claimed_until: null };
  return table === 'operations' && row.state === 'running' ? { ...free, state: 'queued' } : free;
}
