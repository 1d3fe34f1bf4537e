import { Type } from 'typebox';
import { Id, labelPattern, named, nullable, oneOf, refer, subdomainPattern, Time } from './values.ts';

const DockerAuth = Type.Object(
  {
    auth: Type.String({ description: 'The base64 of user name, colon and password.' }),
    username: Type.String(),
    password: Type.String(),
  },
  { additionalProperties: false },
);

export const DockerConfig = named(
  'DockerConfig',
  {
    auths: Type.Record(Type.String(), DockerAuth, {
      description: 'By host, https://index.docker.io/v1/ for Docker Hub, or by host and path.',
    }),
  },
  "Docker's config.json, and the auth.json of podman, skopeo, buildah and CRI-O.",
);

export const PullSecretEntry = named('PullSecretEntry', {
  key: Type.String({ description: 'Under which it stands in auths.' }),
  connection: Type.Unsafe<{ id: string; slug: string } | null>({
    type: ['object', 'null'],
    properties: { id: Id, slug: Type.String() },
    required: ['id', 'slug'],
    additionalProperties: false,
    description: 'Whose credentials they are; null: they open the registries here.',
  }),
  expiresAt: nullable(Time),
});

export const PullSecret = named(
  'PullSecret',
  {
    config: refer(DockerConfig),
    entries: Type.Array(refer(PullSecretEntry)),
    warnings: Type.Array(Type.String(), { description: 'What is left out, and who had to give way to whom.' }),
    expiresAt: Type.String({
      format: 'date-time',
      description: 'When the first of its parts ends: fetch it again before.',
    }),
  },
  'What a project may pull with.',
);

export const KubernetesSecret = named(
  'KubernetesSecret',
  {
    apiVersion: oneOf(['v1']),
    kind: oneOf(['Secret']),
    metadata: Type.Object(
      {
        name: Type.String(),
        namespace: Type.Optional(Type.String()),
        annotations: Type.Record(Type.String(), Type.String()),
      },
      { additionalProperties: false },
    ),
    type: oneOf(['kubernetes.io/dockerconfigjson']),
    data: Type.Object({ '.dockerconfigjson': Type.String() }, { additionalProperties: false }),
  },
  'A manifest for kubectl apply, which reads JSON as well as YAML.',
);

export const PullSecretQuery = Type.Object(
  {
    format: Type.Optional(
      oneOf(['docker-config', 'kubernetes'], { description: 'Only the Docker config, or only a manifest of it.' }),
    ),
    name: Type.Optional(
      Type.String({
        pattern: subdomainPattern,
        maxLength: 253,
        description: "The Secret's, with format=kubernetes: lading-pull.",
      }),
    ),
    namespace: Type.Optional(
      Type.String({
        pattern: labelPattern,
        maxLength: 63,
        description: "The Secret's, with format=kubernetes; without it, the one that kubectl applies it to.",
      }),
    ),
  },
  { additionalProperties: false },
);
