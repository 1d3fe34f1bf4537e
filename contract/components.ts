import { ApiKey, ApiKeyList, ApiKeyWithSecret, CreateApiKey } from './api-keys.ts';
import { AuditEvent, AuditEventList } from './audit-events.ts';
import { CleanedImage, CleanRepository, CleanupFailure, CleanupResult } from './cleanup.ts';
import {
  Cluster,
  ClusterList,
  ClusterTest,
  ConnectCluster,
  CreateCluster,
  Integration,
  IntegrationList,
  TestCluster,
  UpdateCluster,
} from './clusters.ts';
import { CollectionPreview, StartCollection } from './collections.ts';
import {
  Connection,
  ConnectionList,
  ConnectionTest,
  ConnectionTestList,
  ConnectionUses,
  CreateConnection,
  ReplacedSecret,
  ReplaceSecret,
  RevealedConnection,
  UpdateConnection,
  WaitingReplacement,
} from './connections.ts';
import { Image, ImageList, IndexEntry, Layer } from './images.ts';
import { Operation, OperationList } from './operations.ts';
import { Problem } from './problem.ts';
import { CreatedProject, CreateProject, Project, ProjectList, UpdateProject } from './projects.ts';
import { Provider, ProviderList } from './providers.ts';
import { DockerConfig, KubernetesSecret, PullSecret, PullSecretEntry } from './pull-secrets.ts';
import { CreateRegistry, Registry, RegistryList, UpdateRegistry } from './registries.ts';
import { Repository, RepositoryList } from './repositories.ts';
import { Robot, RobotList, RobotWithSecret } from './robots.ts';
import { Tag, TagList } from './tags.ts';
import { CreatedTeam, CreateTeam, Team } from './teams.ts';
import { CreateToken, RenewToken, Token, TokenList, TokenWithSecret, UpdateToken } from './tokens.ts';
import type { Named } from './values.ts';

/** Every named schema: the components of the OpenAPI document. */
export const components: readonly Named[] = [
  ApiKey,
  ApiKeyList,
  ApiKeyWithSecret,
  AuditEvent,
  AuditEventList,
  CleanedImage,
  CleanRepository,
  CleanupFailure,
  CleanupResult,
  Cluster,
  ClusterList,
  ClusterTest,
  CollectionPreview,
  ConnectCluster,
  Connection,
  ConnectionList,
  ConnectionTest,
  ConnectionTestList,
  ConnectionUses,
  CreateApiKey,
  CreateCluster,
  CreateConnection,
  CreatedProject,
  CreatedTeam,
  CreateProject,
  CreateRegistry,
  CreateTeam,
  CreateToken,
  DockerConfig,
  Image,
  ImageList,
  IndexEntry,
  Integration,
  IntegrationList,
  KubernetesSecret,
  Layer,
  Operation,
  OperationList,
  Problem,
  Project,
  ProjectList,
  Provider,
  ProviderList,
  PullSecret,
  PullSecretEntry,
  RenewToken,
  Registry,
  RegistryList,
  Repository,
  RepositoryList,
  ReplacedSecret,
  ReplaceSecret,
  RevealedConnection,
  WaitingReplacement,
  Robot,
  RobotList,
  RobotWithSecret,
  StartCollection,
  Tag,
  TagList,
  Team,
  TestCluster,
  Token,
  TokenList,
  TokenWithSecret,
  UpdateCluster,
  UpdateConnection,
  UpdateProject,
  UpdateRegistry,
  UpdateToken,
];
