// The tables, as both engines hold them. Times are integer milliseconds UTC, sizes are bytes, flags are 0 or 1,
// lists and objects are JSON text. Names, digests and keys compare byte by byte (`collate "C"` on Postgres).
// `docs/storage.md` draws how the rows hang together; one core file writes each table.

import type { Generated } from 'kysely';

export type Schema = {
  regions: RegionRow;
  teams: TeamRow;
  projects: ProjectRow;
  registries: RegistryRow;
  repositories: RepositoryRow;
  objects: ObjectRow;
  blobs: BlobRow;
  repository_blobs: RepositoryBlobRow;
  manifests: ManifestRow;
  manifest_references: ManifestReferenceRow;
  tags: TagRow;
  uploads: UploadRow;
  upload_parts: UploadPartRow;
  actors: ActorRow;
  operations: OperationRow;
  holds: HoldRow;
  signing_keys: SigningKeyRow;
  audit_events: AuditEventRow;
  clusters: ClusterRow;
  cluster_integrations: ClusterIntegrationRow;
  connections: ConnectionRow;
  connection_projects: ConnectionProjectRow;
  connection_tests: ConnectionTestRow;
  connection_uses: ConnectionUseRow;
  project_pull_tokens: ProjectPullTokenRow;
  request_windows: RequestWindowRow;
  installations: InstallationRow;
};

/** A place with its own host name; `slug` is the id of `LADING_REGIONS`. Hosts stay in the configuration. */
export type RegionRow = { id: string; slug: string; name: string };

export type TeamRow = { id: string; name: string; slug: string; created_at: number };

export type ProjectRow = { id: string; team_id: string; name: string; slug: string; created_at: number };

/** `size` and `reserved` are changed only by `charge`, `release` and the reservations of `objects.ts`. */
export type RegistryRow = {
  id: string;
  team_id: string;
  project_id: string | null;
  region_id: string;
  name: string;
  state: 'active' | 'deleting';
  status_reason: string | null;
  is_public: number;
  is_managed: number;
  size: number;
  reserved: number;
  size_limit: number;
  /** Repositories with `is_listed`. */
  repository_count: Generated<number>;
  created_at: number;
  updated_at: number;
};

/** `revision` is raised first in every transaction that changes the repository: the row is its lock. */
export type RepositoryRow = {
  id: string;
  registry_id: string;
  name: string;
  state: 'live' | 'deleting';
  revision: number;
  size: number;
  /** From its first manifest on, while it is live: lists show it, and its registry counts it. */
  is_listed: Generated<number>;
  /** Manifests that are no attachments. */
  image_count: Generated<number>;
  tag_count: Generated<number>;
  created_at: number;
  updated_at: number;
};

/** One object in the store, from before its first byte until after its removal. */
export type ObjectRow = {
  key: string;
  state: 'writing' | 'stored' | 'doomed';
  size: number;
  refs: number;
  reserved_in: string | null;
  writer_until: number | null;
  remove_after: number | null;
  forget_after: number | null;
  attempts: number;
};

/** A digest in a registry. The row exists or it does not: there is no half-deleted blob. */
export type BlobRow = {
  registry_id: string;
  digest: string;
  object_key: string;
  size: number;
  links: number;
  lost: number;
};

/** A link: the permission to read a blob in one repository. */
export type RepositoryBlobRow = {
  repository_id: string;
  digest: string;
  registry_id: string;
  leased_until: number;
  leased_by: string;
};

export type ManifestRow = {
  repository_id: string;
  digest: string;
  media_type: string;
  artifact_type: string | null;
  config_media_type: string | null;
  subject: string | null;
  /** It has a subject, or has tags and all of them belong to something: a signature, an SBOM. */
  is_attachment: Generated<number>;
  /** JSON text of the manifest's annotations, for referrers. */
  annotations: string | null;
  os: string;
  architecture: string;
  built_at: number | null;
  pushed_at: number;
  /** Length of `bytes`. */
  size: number;
  /** The manifest with its config and layers, each digest once; of an index, the index alone. */
  image_size: number;
  leased_until: number;
  leased_by: string;
  bytes: Uint8Array;
};

/** Every descriptor of a manifest. No key on the child: foreign layers, sparse indexes and later arrivals are legal. */
export type ManifestReferenceRow = { repository_id: string; manifest_digest: string; child_digest: string };

/** `belongs_to`: the subject of a cosign tag (`sha256-<hex>.sig`) where that subject is in the repository. */
export type TagRow = {
  repository_id: string;
  name: string;
  digest: string;
  belongs_to: string | null;
  /** `pushed_at` of its manifest where that is an image because of this tag: no subject, and `belongs_to` is null. */
  image_pushed_at: Generated<number | null>;
  created_at: number;
  updated_at: number;
};

export type UploadRow = {
  id: string;
  repository_id: string;
  /** The actor that started it, and the generation of its secret then. */
  principal: string;
  generation: number;
  received: number;
  version: number;
  started_at: number;
  expires_at: number;
};

export type UploadPartRow = { upload_id: string; number: number; object_key: string; size: number };

/**
 * Whoever can sign in with a secret: API keys, tokens, robots, and the pull tokens that Lading makes, keeps and renews for
 * clusters. Only the secret's SHA-256 is here.
 */
export type ActorRow = {
  id: string;
  kind: 'key' | 'token' | 'robot' | 'pull';
  team_id: string;
  name: string;
  secret_hash: string;
  generation: number;
  /** JSON list of permissions. */
  permissions: string;
  /** JSON lists of ids; null: the whole team, all registries. */
  project_ids: string | null;
  registry_ids: string | null;
  /** How long a refresh prolongs it; null: it never expires. */
  lifetime_ms: number | null;
  expires_at: number | null;
  revoked_at: number | null;
  last_used_at: number | null;
  created_at: number;
};

export type OperationRow = {
  id: string;
  kind: string;
  team_id: string;
  registry_id: string | null;
  repository_id: string | null;
  state: 'queued' | 'running' | 'done' | 'failed';
  worker: string | null;
  claimed_until: number | null;
  again: number;
  attempts: number;
  freed: number;
  /** JSON: what is asked, and how far it is. */
  input: string;
  progress: string;
  error: string | null;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
};

/** While a hold runs, nothing is removed from the store (a backup is copying). */
export type HoldRow = { id: string; until: number };

/** Keys of `/token`'s signatures; the private half is sealed. `id` is the RFC 7638 thumbprint. */
export type SigningKeyRow = { id: string; public_jwk: string; sealed_private_jwk: string; created_at: number };

export type AuditEventRow = {
  id: string;
  team_id: string;
  actor_kind: string;
  actor_id: string;
  actor_name: string;
  action: string;
  target_kind: string;
  target_id: string;
  target_name: string;
  detail: string;
  address: string;
  created_at: number;
};

/** A Kubernetes cluster of a team. A deleted one stays until what it was given has been taken back. */
export type ClusterRow = {
  id: string;
  team_id: string;
  name: string;
  pool: string;
  server: string;
  ca_pem: string | null;
  /** JSON of a token, or of a client certificate with its key. */
  sealed_credentials: string;
  state: 'active' | 'deleting';
  created_at: number;
  updated_at: number;
};

/** A registry that supplies namespaces of a cluster with a Secret; `cluster-supply.ts` says how. */
export type ClusterIntegrationRow = {
  id: string;
  team_id: string;
  cluster_id: string;
  registry_id: string;
  /** JSON list. */
  namespaces: string;
  secret_name: string;
  state: 'connected' | 'disconnecting';
  /** Raised by each change of what is wanted; `supplied_version` is the last that the cluster has had in full. */
  version: number;
  supplied_version: number;
  /** JSON list of `{namespace, name}`: everywhere a Secret of ours may be. Written before the Secret is. */
  places: string;
  token_id: string | null;
  sealed_token: string | null;
  token_renew_at: number | null;
  previous_token_id: string | null;
  due_at: number;
  worker: string | null;
  claimed_until: number | null;
  attempts: number;
  error: string | null;
  supplied_at: number | null;
  created_at: number;
  updated_at: number;
};

/** An external registry and what opens it. Secrets are sealed JSON of `ConnectionSecret`; null: it is read anonymously. */
export type ConnectionRow = {
  id: string;
  team_id: string;
  name: string;
  /** The name in lower case: what is unique in the team. */
  folded_name: string;
  slug: string;
  description: string;
  provider: string;
  /** As it was given, and `host[:port]` made of it. */
  url: string;
  host: string;
  namespace: string;
  /** Empty where there is no secret, or where that has its own (Docker `auths`). */
  username: string;
  sealed_secret: string | null;
  /** What shall replace username and secret once it has passed a test. */
  replacement_username: string | null;
  sealed_replacement: string | null;
  aws_region: string | null;
  /** The host of a token service elsewhere that may be given the credentials. */
  token_host: string | null;
  /** 1: only for the projects of `connection_projects`, which may be none. */
  is_restricted: number;
  /** Raised when where it leads or what opens it changes: a test of an earlier one says nothing of this one. */
  version: number;
  status: 'untested' | 'passed' | 'failed';
  tested_at: number | null;
  /** When what is stored ends, as far as a test of it has told. */
  credentials_expire_at: number | null;
  test_due_at: number;
  worker: string | null;
  claimed_until: number | null;
  created_at: number;
  updated_at: number;
};

export type ConnectionProjectRow = { connection_id: string; project_id: string };

/** How it stood once. `steps`, `rate_limit`: JSON as in `Upstream`. */
export type ConnectionTestRow = {
  id: string;
  connection_id: string;
  /** `asked`: by a request; `scheduled`; `replacement`: with what shall replace the stored secret. */
  cause: 'asked' | 'changed' | 'scheduled' | 'replacement';
  passed: number;
  failed_step: string | null;
  message: string;
  steps: string;
  latency_ms: number;
  rate_limit: string | null;
  credentials_expire_at: number | null;
  created_at: number;
};

/** To whom it was handed out, for which project. */
export type ConnectionUseRow = {
  connection_id: string;
  project_id: string;
  actor_id: string;
  actor_name: string;
  times: number;
  last_used_at: number;
};

export type ProjectPullTokenRow = {
  project_id: string;
  token_id: string;
  sealed_token: string;
  renew_at: number;
  expires_at: number;
};

/** What an API key has asked since `started_at`, for one hour; `request-limit.ts` says how it is counted. */
export type RequestWindowRow = { actor_id: string; started_at: number; used: number };

/** One row. A copy is one only until a server is started on it; `core/installations.ts` says what is allowed when. */
export type InstallationRow = {
  slot: 1;
  id: string;
  /** Id of the installation that all rows and objects were copied from. */
  copy_of: string | null;
  /** The moment that the copy shows. */
  copied_at: number | null;
  /** Who is copying into this database now; not null: it is incomplete. */
  run: string | null;
};
