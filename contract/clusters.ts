import { Type } from 'typebox';
import { listOf, pageQuery, searchQuery, sortQuery } from './page.ts';
import { Id, NameInput, named, nullable, oneOf, Time } from './values.ts';

const pemLengthMax = 65_536;

export const Cluster = named(
  'Cluster',
  {
    id: Id,
    name: Type.String(),
    pool: Type.String({ description: 'Your own word for where it runs; may be empty.' }),
    server: Type.String({ description: 'The URL of its API server.' }),
    caPem: nullable(Type.String({ description: 'Whom its certificate must come from; null: a public authority.' })),
    createdAt: Time,
    updatedAt: Time,
  },
  'A Kubernetes cluster. Its credentials are never shown.',
);

const access = {
  pool: Type.Optional(Type.String({ maxLength: 255 })),
  server: Type.Optional(Type.String({ maxLength: 2000, description: 'https://, of the API server.' })),
  caPem: Type.Optional(nullable(Type.String({ maxLength: pemLengthMax, description: 'Certificates in PEM form.' }))),
  token: Type.Optional(
    Type.String({ maxLength: 16_384, writeOnly: true, description: 'Of a service account; goes with server.' }),
  ),
  kubeconfig: Type.Optional(
    Type.String({
      maxLength: 65_536,
      writeOnly: true,
      description:
        'Instead of server, caPem and token. Of its current context are taken: server, certificate-authority-data, token, client-certificate-data with client-key-data; anything else there is refused.',
    }),
  ),
};

export const CreateCluster = named('CreateCluster', { name: NameInput, ...access });

export const UpdateCluster = named(
  'UpdateCluster',
  { name: Type.Optional(NameInput), ...access },
  'Another server or caPem needs the token again: the stored one was given for the old ones.',
);

const namespace = Type.String({ minLength: 1, maxLength: 63 });
const secretName = Type.String({ minLength: 1, maxLength: 253 });

export const TestCluster = named('TestCluster', {
  namespace: Type.Optional({ ...namespace, description: 'Where writing a Secret is tried, as a dry run: default.' }),
  secretName: Type.Optional({ ...secretName, description: 'Under which name: lading-test.' }),
});

export const ClusterTest = named('ClusterTest', {
  passed: Type.Boolean(),
  version: nullable(Type.String({ description: 'What the cluster runs.' })),
  namespace: Type.String(),
  secretName: Type.String(),
  steps: Type.Array(
    Type.Object(
      {
        step: oneOf(['reach', 'tls', 'version', 'secrets']),
        result: oneOf(['passed', 'failed', 'skipped']),
        message: Type.String(),
      },
      { additionalProperties: false },
    ),
  ),
});

export const ConnectCluster = named('ConnectCluster', {
  namespaces: Type.Array(namespace, { minItems: 1, maxItems: 50, uniqueItems: true }),
  secretName: Type.String({ minLength: 1, maxLength: 253, description: 'What pods name in imagePullSecrets.' }),
});

export const Integration = named(
  'Integration',
  {
    cluster: Type.Object({ id: Id, name: Type.String(), pool: Type.String() }, { additionalProperties: false }),
    namespaces: Type.Array(Type.String()),
    secretName: Type.String(),
    status: oneOf(['pending', 'supplied', 'failing'], {
      description: 'pending: the cluster has not had it yet. failing: it is tried again, lastError says what is wrong.',
    }),
    lastError: nullable(Type.String()),
    lastSuccessAt: nullable(Time),
    createdAt: Time,
    updatedAt: Time,
  },
  'A registry whose pull secret is kept in namespaces of a cluster.',
);

export const ClusterList = listOf(Cluster);
export const ClusterQuery = Type.Object(
  { ...pageQuery, ...searchQuery, ...sortQuery },
  { additionalProperties: false },
);
export const IntegrationList = listOf(Integration);
export const IntegrationQuery = Type.Object(pageQuery, { additionalProperties: false });
