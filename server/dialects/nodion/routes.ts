import type { FastifyInstance } from 'fastify';
import type { Platform } from '#core/platform.ts';
import { authenticate } from '#http/sign-in.ts';
import { bindContainerRegistries, bindCredentials } from './container-registries.ts';

/** Where clients written for Nodion look, and the same under its name. */
const bases = ['/v1/container_registries', '/nodion/v1/container_registries'];

/** Nodion's Container Registries API. Paths that are not there are answered by `app.ts`. */
export function bindNodion(app: FastifyInstance, platform: Platform): void {
  for (const prefix of bases) {
    app.register(
      async (plugin) => {
        plugin.addHook('onRequest', (request) => authenticate(platform, request));
        plugin.addHook('onSend', async (_request, reply) => {
          reply.header('cache-control', 'no-store');
        });
        bindContainerRegistries(plugin, platform);
        bindCredentials(plugin, platform);
      },
      { prefix },
    );
  }
}
