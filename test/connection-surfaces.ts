// The five ways in which a connection is kept and changed, so that what holds for one is tested for all.

import type { Json } from './native-client.ts';

export type ConnectionSurface = {
  name: string;
  /** Of all connections. */
  path: string;
  update: 'PATCH' | 'PUT';
  /** What it calls where a connection leads. */
  urlField: 'url' | 'hostname' | 'registryUrl';
  /** A body that makes one. */
  toBody: (input: ConnectionBody) => object;
  /** Of an answer about one. */
  idOf: (json: Json) => string;
  /** Whether it tests, too: `GET` of this below one. */
  test: string | undefined;
};
export type ConnectionBody = { name: string; url: string; username?: string; password?: string };

const bare = ({ id }: Json) => id;
const paperspace = { update: 'PUT', urlField: 'url', idOf: bare, test: 'test-connection' } as const;

export const connectionSurfaces: readonly ConnectionSurface[] = [
  {
    ...{ name: 'native', path: '/lading/v1/connections', update: 'PATCH', urlField: 'url', test: undefined },
    toBody: (input) => ({ provider: 'oci', ...input }),
    idOf: bare,
  },
  {
    ...{ name: 'paperspace', path: '/v1/container-registries', ...paperspace },
    toBody: (input) => ({ kind: 'other', username: '', password: '', ...input }),
  },
  {
    ...{ name: 'apisio', path: '/paperspace-apisio/v1/container-registries', ...paperspace },
    toBody: (input) => ({ username: '', password: '', ...input }),
  },
  {
    ...{ name: 'nodion', path: '/v1/container_registries', update: 'PATCH', urlField: 'hostname', test: undefined },
    toBody: ({ url, ...rest }) => ({ registry_type: 'custom', hostname: url, ...rest }),
    idOf: ({ container_registry }) => container_registry.id,
  },
  {
    ...{
      name: 'northflank',
      path: '/v1/integrations/registries',
      update: 'PATCH',
      urlField: 'registryUrl',
      test: undefined,
    },
    toBody: ({ url, ...rest }) => ({ provider: 'custom', registryUrl: url, ...rest }),
    idOf: ({ data }) => data.id,
  },
];
