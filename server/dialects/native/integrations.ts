import type { Static } from 'typebox';
import { ConnectCluster, Integration, IntegrationList, IntegrationQuery } from '#contract/clusters.ts';
import { refer } from '#contract/values.ts';
import {
  type Integration as CoreIntegration,
  connectCluster,
  disconnectCluster,
  listIntegrations,
} from '#core/cluster-integrations.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, IntegrationPath, type NativeApp, NoContent, RegistryPath, refusals } from './endpoint.ts';
import { fromPageQuery, toList, toTime, toTimeOrNull } from './wire.ts';

export function bindIntegrations(app: NativeApp, platform: Platform): void {
  app.get(
    '/registries/:registry/clusters',
    {
      schema: {
        ...about('Clusters', 'listIntegrations', 'clusters:read', 'List the clusters that a registry supplies.'),
        params: RegistryPath,
        querystring: IntegrationQuery,
        response: { 200: refer(IntegrationList), ...refusals(404) },
      },
    },
    async (request) => {
      const input = { ...fromPageQuery(request.query), registry: request.params.registry };
      return toList(await listIntegrations(platform, actorOf(request), input), toWire);
    },
  );

  app.put(
    '/registries/:registry/clusters/:cluster',
    {
      schema: {
        ...about(
          'Clusters',
          'connectCluster',
          'clusters:write',
          'Keep a pull secret for the registry in namespaces of a cluster. The caller must hold images:pull too.',
        ),
        params: IntegrationPath,
        body: refer(ConnectCluster),
        response: { 200: refer(Integration), ...refusals(404, 409) },
      },
    },
    async (request) => toWire(await connectCluster(platform, actorOf(request), { ...request.params, ...request.body })),
  );

  app.delete(
    '/registries/:registry/clusters/:cluster',
    {
      schema: {
        ...about(
          'Clusters',
          'disconnectCluster',
          'clusters:write',
          'End the pull secret and remove it from the cluster.',
        ),
        params: IntegrationPath,
        response: { 204: NoContent, ...refusals(404) },
      },
    },
    async (request, reply) => {
      await disconnectCluster(platform, actorOf(request), request.params);
      return reply.code(204).send(null);
    },
  );
}

function toWire(integration: CoreIntegration): Static<typeof Integration> {
  return {
    cluster: integration.cluster,
    namespaces: [...integration.namespaces],
    secretName: integration.secretName,
    status: integration.status,
    lastError: integration.error,
    lastSuccessAt: toTimeOrNull(integration.suppliedAt),
    createdAt: toTime(integration.createdAt),
    updatedAt: toTime(integration.updatedAt),
  };
}
