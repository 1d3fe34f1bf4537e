import type { LeakWorld } from './leak-world.ts';
import type { Json } from './native-client.ts';
import { basic } from './oci-client.ts';

/** Secrets that the platform makes are shown once, by the answer that makes them. */
export async function useHostedSecrets({ done, ask, noteMade }: LeakWorld): Promise<void> {
  const made = async (name: string, asked: string, body: object | undefined, secretOf: (json: Json) => string) => {
    // Unknown until it is made: it is searched for in everything that follows.
    const json = await done(asked, body);
    noteMade(name, secretOf(json));
    return json;
  };
  const keyBody = { name: 'k', permissions: ['connections:read'] };
  const key = await made('an API key', 'POST /lading/v1/api-keys', keyBody, ({ secret }) => secret);
  const registry = await done('POST /lading/v1/registries', { name: 'hosted' });
  const tokenBody = { name: 't', scope: 'rw', registryIds: [registry.id] };
  const token = await made('a token', 'POST /lading/v1/tokens', tokenBody, ({ secret }) => secret);
  const again = `POST /lading/v1/tokens/${token.id}/regenerate`;
  const { secret: tokenSecret } = await made('a regenerated token', again, undefined, ({ secret }) => secret);
  const v1 = await made('a Selectel token', 'POST /api/v1/token', undefined, ({ token }) => token);
  await made(
    'a Selectel token v2',
    'POST /api/v2/tokens',
    { name: 'x', scope: { allRegistries: true, modeRW: true }, expiration: { isSet: false } },
    ({ token }) => token,
  );
  const { container_registries: managed } = await done('GET /v1/container_registries');
  const robot = `/v1/container_registries/${managed.find((one: Json) => one.registry_type === 'nodion').id}/credentials`;
  const password = ({ container_registry }: Json) => container_registry.password;
  const login = password(await made('a robot', `POST ${robot}`, undefined, password));
  // The path names the token by its secret.
  await ask(`GET /api/v1/token/${v1.token}`);
  await done(`POST /api/v1/token/${v1.token}/refresh`, undefined, { shows: ['a Selectel token'] });
  await ask(`DELETE /api/v1/token/${v1.token}`);
  await ask(`GET /api/v1/token/${v1.token}/nothing`);
  for (const secret of [tokenSecret, login, key.secret]) {
    await ask('GET /v2/', { headers: { authorization: basic(secret) } });
    const { json } = await ask('GET /token?service=x&scope=repository:hosted/app:pull,push', {
      headers: { authorization: basic(secret) },
    });
    noteMade(`an access token ${secret.slice(0, 9)}`, String(json.token).split('.')[2] ?? '');
    await ask('GET /v2/hosted/app/tags/list', { key: json.token });
    await ask('GET /v2/hosted/app/tags/list', { key: `${json.token}x` });
    for (const path of ['/lading/v1/registries', '/v1/login', '/v1/container-registries'])
      await ask(`GET ${path}`, { key: secret });
  }
  await done(`DELETE ${robot}`);
  await done(`DELETE /lading/v1/api-keys/${key.id}`);
  await ask('GET /v1/login', { key: key.secret });
}

export async function useClusters({ ask, done, secret }: LeakWorld): Promise<void> {
  const [token, key] = [
    secret('a cluster’s token').replaceAll(/[^\w]/g, ''),
    secret('a client’s key').replaceAll(/[^\w]/g, ''),
  ];
  const server = 'https://cluster.example.com';
  const cluster = await done('POST /lading/v1/clusters', { name: 'by token', server, token });
  await done(`POST /lading/v1/clusters/${cluster.id}/test`);
  await done('PUT /lading/v1/registries/hosted/clusters/by%20token', { namespaces: ['default'], secretName: 'pull' });
  const kubeconfig = (more: string) =>
    `apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nclusters: [{name: a, cluster: {server: "${server}"}}]\nusers: [{name: a, user: {token: ${token}${more}}}]\n`;
  await done('POST /lading/v1/clusters', { name: 'by kubeconfig', kubeconfig: kubeconfig('') });
  for (const more of [', exec: {command: sh}', `, client-key-data: ${key}`, `, tokenFile: ${key}`, ', {{{']) {
    await ask('POST /lading/v1/clusters', { body: { name: 'refused', kubeconfig: kubeconfig(more) } });
  }
  await ask('POST /lading/v1/clusters', { body: { name: 'refused', server: `https://a:${key}@b`, token } });
  await ask(`PATCH /lading/v1/clusters/${cluster.id}`, { body: { server: 'https://other.example.com' } });
  await done(`DELETE /lading/v1/clusters/${cluster.id}`).catch(() => {});
}
