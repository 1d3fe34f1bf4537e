import type { Static } from 'typebox';
import {
  Cluster,
  ClusterList,
  ClusterQuery,
  ClusterTest,
  CreateCluster,
  TestCluster,
  UpdateCluster,
} from '#contract/clusters.ts';
import { refer } from '#contract/values.ts';
import { checkCluster } from '#core/cluster-check.ts';
import type { Cluster as CoreCluster } from '#core/cluster-rows.ts';
import { createCluster, deleteCluster, getCluster, listClusters, updateCluster } from '#core/clusters.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, ClusterPath, IfMatch, type NativeApp, NoContent, refusals } from './endpoint.ts';
import { parseKubeconfig } from './kubeconfig.ts';
import { fromPageQuery, fromSort, requireMatch, toETag, toList, toTime } from './wire.ts';

export function bindClusters(app: NativeApp, platform: Platform): void {
  app.post(
    '/clusters',
    {
      schema: {
        ...about(
          'Clusters',
          'createCluster',
          'clusters:write',
          'Register a Kubernetes cluster, by token or kubeconfig.',
        ),
        body: refer(CreateCluster),
        response: { 201: refer(Cluster), ...refusals(409) },
      },
    },
    async (request, reply) => {
      const cluster = await createCluster(platform, actorOf(request), withKubeconfig(request.body));
      reply.code(201).header('etag', etagOf(cluster));
      return toWire(cluster);
    },
  );

  app.get(
    '/clusters',
    {
      schema: {
        ...about('Clusters', 'listClusters', 'clusters:read', 'List the clusters, by name.'),
        querystring: ClusterQuery,
        response: { 200: refer(ClusterList), ...refusals() },
      },
    },
    async (request) => {
      const { search, sort } = request.query;
      const input = { ...fromPageQuery(request.query), search, sort: fromSort(sort) };
      return toList(await listClusters(platform, actorOf(request), input), toWire);
    },
  );

  bindCluster(app, platform);
  bindTest(app, platform);
}

function bindCluster(app: NativeApp, platform: Platform): void {
  app.get(
    '/clusters/:cluster',
    {
      schema: {
        ...about('Clusters', 'getCluster', 'clusters:read', 'Show a cluster, without its credentials.'),
        params: ClusterPath,
        response: { 200: refer(Cluster), ...refusals(404) },
      },
    },
    async (request, reply) => {
      const cluster = await getCluster(platform, actorOf(request), request.params.cluster);
      reply.header('etag', etagOf(cluster));
      return toWire(cluster);
    },
  );

  app.patch(
    '/clusters/:cluster',
    {
      schema: {
        ...about('Clusters', 'updateCluster', 'clusters:write', 'Change a cluster, or how it is reached.'),
        params: ClusterPath,
        headers: IfMatch,
        body: refer(UpdateCluster),
        response: { 200: refer(Cluster), ...refusals(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const cluster = await updateCluster(platform, actorOf(request), {
        ...withKubeconfig(request.body),
        cluster: request.params.cluster,
        expect: (current) => requireMatch(request.headers['if-match'], etagOf(current)),
      });
      reply.header('etag', etagOf(cluster));
      return toWire(cluster);
    },
  );

  app.delete(
    '/clusters/:cluster',
    {
      schema: {
        ...about('Clusters', 'deleteCluster', 'clusters:write', 'Forget a cluster; what it was given is taken back.'),
        params: ClusterPath,
        response: { 204: NoContent, ...refusals(404) },
      },
    },
    async (request, reply) => {
      await deleteCluster(platform, actorOf(request), request.params);
      return reply.code(204).send(null);
    },
  );
}

function bindTest(app: NativeApp, platform: Platform): void {
  app.post(
    '/clusters/:cluster/test',
    {
      schema: {
        ...about(
          'Clusters',
          'testCluster',
          'clusters:write',
          'Try to reach a cluster, and whether Secrets can be written.',
        ),
        params: ClusterPath,
        body: refer(TestCluster),
        response: { 200: refer(ClusterTest), ...refusals(404, 409) },
      },
    },
    async (request) => {
      const { namespace = 'default', secretName = 'lading-test' } = request.body;
      const check = await checkCluster(platform, actorOf(request), { ...request.params, namespace, secretName });
      return { ...check, namespace, secretName };
    },
  );
}

function withKubeconfig<Body extends { kubeconfig?: string }>({ kubeconfig, ...rest }: Body) {
  return { ...rest, kubeconfig: kubeconfig === undefined ? undefined : parseKubeconfig(kubeconfig) };
}

const etagOf = ({ id, name, pool, server, caPem, updatedAt }: CoreCluster) =>
  toETag([id, name, pool, server, caPem, updatedAt]);

function toWire(cluster: CoreCluster): Static<typeof Cluster> {
  return {
    id: cluster.id,
    name: cluster.name,
    pool: cluster.pool,
    server: cluster.server,
    caPem: cluster.caPem,
    createdAt: toTime(cluster.createdAt),
    updatedAt: toTime(cluster.updatedAt),
  };
}
