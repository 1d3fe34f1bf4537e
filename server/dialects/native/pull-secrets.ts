import { type Static, Type } from 'typebox';
import { DockerConfig, KubernetesSecret, PullSecret, PullSecretQuery } from '#contract/pull-secrets.ts';
import { refer } from '#contract/values.ts';
import { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import type { PullSecretEntry } from '#core/pull-secret-entries.ts';
import { type PullSecret as CorePullSecret, getPullSecret } from '#core/pull-secrets.ts';
import { endProjectPullToken } from '#core/pull-tokens.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, type NativeApp, NoContent, ProjectPath, refusals } from './endpoint.ts';
import { toTime, toTimeOrNull } from './wire.ts';

export function bindPullSecrets(app: NativeApp, platform: Platform): void {
  app.get(
    '/projects/:project/pull-secret',
    {
      // A look at nothing would be recorded as a hand-out.
      exposeHeadRoute: false,
      schema: {
        ...about(
          'Projects',
          'getPullSecret',
          'pull-secrets:read',
          'Hand out what a project pulls with. It is recorded.',
        ),
        params: ProjectPath,
        querystring: PullSecretQuery,
        response: {
          200: Type.Union([refer(PullSecret), refer(DockerConfig), refer(KubernetesSecret)]),
          ...refusals(404),
        },
      },
    },
    async (request) => {
      refuseNames(request.query);
      return toAsked(request.query, await getPullSecret(platform, actorOf(request), request.params));
    },
  );

  app.delete(
    '/projects/:project/pull-secret',
    {
      schema: {
        ...about(
          'Projects',
          'endPullSecret',
          'tokens:write',
          'End the token for the registries here in all that was handed out.',
        ),
        params: ProjectPath,
        response: { 204: NoContent, ...refusals(404) },
      },
    },
    async (request, reply) => {
      await endProjectPullToken(platform, actorOf(request), request.params);
      return reply.code(204).send(null);
    },
  );
}

/** A name that nothing is made of would be a manifest that somebody waits for. */
function refuseNames({ format, ...names }: Static<typeof PullSecretQuery>): void {
  const [first] = Object.keys(names);
  if (format === 'kubernetes' || first === undefined) return;
  throw new Failure('invalid', `${first} in the query goes with format=kubernetes.`, {
    fields: { [`/${first}`]: 'goes with format=kubernetes' },
  });
}

function toAsked({ format, ...names }: Static<typeof PullSecretQuery>, secret: CorePullSecret) {
  if (format === 'docker-config') return toDockerConfig(secret);
  return format === 'kubernetes' ? toManifest(secret, names) : toWire(secret);
}

const toDockerConfig = ({ config }: CorePullSecret): Static<typeof DockerConfig> => ({ auths: { ...config.auths } });

function toWire(secret: CorePullSecret): Static<typeof PullSecret> {
  return {
    config: toDockerConfig(secret),
    entries: secret.entries.map(toWireEntry),
    warnings: [...secret.warnings],
    expiresAt: toTime(secret.expiresAt),
  };
}

function toWireEntry({ key, source, expiresAt }: PullSecretEntry) {
  const connection = source.kind === 'hosted' ? null : { id: source.id, slug: source.slug };
  return { key, connection, expiresAt: toTimeOrNull(expiresAt) };
}

type Names = { name?: string; namespace?: string };

function toManifest(
  secret: CorePullSecret,
  { name = 'lading-pull', namespace }: Names,
): Static<typeof KubernetesSecret> {
  const config = Buffer.from(JSON.stringify(secret.config), 'utf8').toString('base64');
  // Without the label of what is kept in clusters: nobody but who applies it changes it.
  const annotations = { 'lading.dev/expires-at': toTime(secret.expiresAt) };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, ...(namespace !== undefined && { namespace }), annotations },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': config },
  };
}
