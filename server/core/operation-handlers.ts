import { runCollection } from './collection.ts';
import type { OperationHandler } from './operation-runs.ts';
import type { OperationKind } from './operations.ts';
import { runRegistryDeletion } from './registry-deletion.ts';
import { runRepositoryDeletion } from './repository-deletion.ts';

/** Who works on which kind of operation. */
export const operationHandlers: Readonly<Record<OperationKind, OperationHandler>> = {
  delete_registry: runRegistryDeletion,
  delete_repository: runRepositoryDeletion,
  garbage_collection: runCollection,
};
