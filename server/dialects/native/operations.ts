import type { Static } from 'typebox';
import { Operation, OperationList, OperationQuery } from '#contract/operations.ts';
import { refer } from '#contract/values.ts';
import { type Operation as CoreOperation, getOperation, listOperations } from '#core/operations.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, IdPath, type NativeApp, refusals } from './endpoint.ts';
import { fromPageQuery, toList, toTime, toTimeOrNull } from './wire.ts';

export function bindOperations(app: NativeApp, platform: Platform): void {
  app.get(
    '/operations',
    {
      schema: {
        ...about('Operations', 'listOperations', 'registries:read', 'List long-running work, newest first.'),
        querystring: OperationQuery,
        response: { 200: refer(OperationList), ...refusals() },
      },
    },
    async (request) => {
      const { registryId, state } = request.query;
      const input = { ...fromPageQuery(request.query), registryId, state };
      return toList(await listOperations(platform, actorOf(request), input), toWireOperation);
    },
  );

  app.get(
    '/operations/:id',
    {
      schema: {
        ...about('Operations', 'getOperation', 'registries:read', 'Show how far an operation is.'),
        params: IdPath,
        response: { 200: refer(Operation), ...refusals(404) },
      },
    },
    async (request) => toWireOperation(await getOperation(platform, actorOf(request), request.params.id)),
  );
}

export function toWireOperation(operation: CoreOperation): Static<typeof Operation> {
  return {
    id: operation.id,
    kind: operation.kind,
    state: operation.state,
    registryId: operation.registryId,
    registryName: operation.registryName,
    repositoryId: operation.repositoryId,
    freedBytes: operation.freedBytes,
    progress: operation.progress,
    attempts: operation.attempts,
    error: operation.error,
    createdAt: toTime(operation.createdAt),
    startedAt: toTimeOrNull(operation.startedAt),
    finishedAt: toTimeOrNull(operation.finishedAt),
  };
}
