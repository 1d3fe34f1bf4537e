import type { FastifyInstance } from 'fastify';
import { components } from '#contract/components.ts';
import { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import { authenticate } from '#http/sign-in.ts';
import { bindApiKeys } from './api-keys.ts';
import { bindAuditEvents } from './audit-events.ts';
import { bindClusters } from './clusters.ts';
import { bindCollections } from './collections.ts';
import { bindConnectionSecrets } from './connection-secrets.ts';
import { bindConnectionTests } from './connection-tests.ts';
import { bindConnections } from './connections.ts';
import type { NativeApp } from './endpoint.ts';
import { handleError } from './errors.ts';
import { bindImages } from './images.ts';
import { bindIntegrations } from './integrations.ts';
import { bindOpenApi } from './openapi.ts';
import { bindOperations } from './operations.ts';
import { bindProjects } from './projects.ts';
import { bindProviders } from './providers.ts';
import { bindPullSecrets } from './pull-secrets.ts';
import { bindRegistries } from './registries.ts';
import { bindRepositories } from './repositories.ts';
import { bindRobots } from './robots.ts';
import { compileSerializersLazily } from './serialization.ts';
import { bindTags } from './tags.ts';
import { bindTeams } from './teams.ts';
import { bindTokenRenewal } from './token-renewal.ts';
import { bindTokens } from './tokens.ts';
import { compileValidator } from './validation.ts';

export const nativePrefix = '/lading/v1';

/** The native API: everything the platform can do, under `/lading/v1`. */
export function bindNative(app: FastifyInstance, platform: Platform): void {
  app.register(async (plugin) => bindSurface(plugin as unknown as NativeApp, platform), { prefix: nativePrefix });
}

async function bindSurface(app: NativeApp, platform: Platform): Promise<void> {
  app.setValidatorCompiler(compileValidator);
  app.setErrorHandler(handleError);
  app.setNotFoundHandler(() => {
    throw new Failure('not_found', 'There is no such path or method in this API. /lading/v1/openapi.json lists them.');
  });
  for (const schema of components) app.addSchema(schema);
  app.setSerializerCompiler(compileSerializersLazily(app.getSchemas()));
  await bindOpenApi(app);
  await app.register(async (endpoints) => bindEndpoints(endpoints as unknown as NativeApp, platform));
}

function bindEndpoints(app: NativeApp, platform: Platform): void {
  app.addHook('onRequest', (request) => authenticate(platform, request));
  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
  });

  bindTeams(app, platform);
  bindProjects(app, platform);
  bindPullSecrets(app, platform);
  bindRegistries(app, platform);
  bindRobots(app, platform);
  bindRepositories(app, platform);
  bindImages(app, platform);
  bindTags(app, platform);
  bindTokens(app, platform);
  bindTokenRenewal(app, platform);
  bindClusters(app, platform);
  bindIntegrations(app, platform);
  bindProviders(app);
  bindConnections(app, platform);
  bindConnectionTests(app, platform);
  bindConnectionSecrets(app, platform);
  bindApiKeys(app, platform);
  bindAuditEvents(app, platform);
  bindCollections(app, platform);
  bindOperations(app, platform);
}
