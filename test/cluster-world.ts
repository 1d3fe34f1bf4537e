import { supplyNextCluster } from '#core/cluster-supply.ts';
import { openOutbound } from '#outbound/outbound.ts';
import type { Scope } from './database.ts';
import { type Native, openNative } from './native-client.ts';
import { type Kubernetes, startKubernetes } from './servers/kubernetes.ts';

export type ClusterWorld = Native & {
  kubernetes: Kubernetes;
  /** A registered cluster, which is the scripted one. */
  clusterId: string;
  /** Does what is due, as the jobs would. */
  supply(workerId?: string): Promise<number>;
  connect(namespaces?: string[], secretName?: string): ReturnType<Native['call']>;
  integration(): Promise<{ status: string; lastError: string | null }>;
};

/** The native API with one team and registry `acme`, and a cluster that the operator allowed to be asked. */
export async function openClusterWorld(t: Scope): Promise<ClusterWorld> {
  const kubernetes = await startKubernetes(t);
  const native = await openNative(t, {
    outbound: openOutbound({ allowed: [{ host: '127.0.0.1', port: kubernetes.port }] }),
  });
  const body = {
    name: 'prod',
    pool: 'ru-9',
    server: kubernetes.url,
    caPem: kubernetes.authority.caPem,
    token: kubernetes.token,
  };
  const made = await native.call('POST /clusters', { body });
  if (made.status !== 201) throw new Error(made.text);
  const integrations = '/registries/acme/clusters';
  return {
    ...native,
    kubernetes,
    clusterId: made.json.id,
    async supply(workerId = 'worker') {
      let done = 0;
      while (await supplyNextCluster(native.platform, workerId)) done++;
      return done;
    },
    connect: (namespaces = ['default'], secretName = 'pull') =>
      native.call(`PUT ${integrations}/${made.json.id}`, { body: { namespaces, secretName } }),
    integration: async () => (await native.call(`GET ${integrations}`)).json.items[0],
  };
}

/** The first login of the Secret that the cluster holds. */
export function loginOf({ secrets }: Kubernetes, place = 'default/pull') {
  const text = secrets.get(place)?.data['.dockerconfigjson'] ?? '';
  const { auths } = JSON.parse(Buffer.from(text, 'base64').toString('utf8')) as {
    auths: Record<string, { username: string; password: string; auth: string }>;
  };
  return { hosts: Object.keys(auths), ...(Object.values(auths)[0] ?? { username: '', password: '', auth: '' }) };
}
