import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import { authenticate } from '#http/sign-in.ts';
import { bindApisioRegistries } from './apisio-registries.ts';
import { bindContainerRegistries } from './container-registries.ts';

/** Where clients written for Paperspace look, and the same under its name. */
const bases = ['/v1/container-registries', '/paperspace/v1/container-registries'];
/** The description on APIs.io answers the same paths otherwise, and nothing of a request tells the two apart. */
const apisioBase = '/paperspace-apisio/v1/container-registries';

/** Paperspace's Container Registries API, in both forms that are published. */
export function bindPaperspace(app: FastifyInstance, platform: Platform): void {
  for (const prefix of bases) {
    app.register(async (plugin) => bindContainerRegistries(prepare(plugin, platform), platform), { prefix });
  }
  app.register(async (plugin) => bindApisioRegistries(prepare(plugin, platform), platform), { prefix: apisioBase });
}

function prepare(app: FastifyInstance, platform: Platform): FastifyInstance {
  app.addHook('onRequest', (request) => authenticate(platform, request));
  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
  });
  refuseOtherMethods(app, '/', ['GET', 'HEAD', 'POST']);
  refuseOtherMethods(app, '/:id', ['GET', 'HEAD', 'PUT', 'DELETE']);
  refuseOtherMethods(app, '/:id/test-connection', ['GET']);
  return app;
}

/** On a path that is there, a wrong method is told from a wrong path. */
function refuseOtherMethods(app: FastifyInstance, url: string, allowed: readonly string[]): void {
  const others = app.supportedMethods.filter((method) => !allowed.includes(method));
  const refuse = async ({ method }: FastifyRequest, reply: FastifyReply) => {
    reply.header('allow', allowed.join(', '));
    throw new Failure('unsupported', `${method} is not possible here. There are: ${allowed.join(', ')}.`);
  };
  // As a hook it comes before the body, which must not be refused for what it is where it is not wanted at all.
  app.route({ method: others, url, onRequest: refuse, handler: refuse });
}
