import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Platform } from '#core/platform.ts';
import { requireOwnTeam } from '#core/teams.ts';
import { actorOf, authenticate } from '#http/sign-in.ts';
import { bindRegistries } from './registries.ts';

/** Where clients written for Northflank look, and the same under its name. */
const bases = ['/v1', '/northflank/v1'];

/**
 * Northflank's registry credentials, in both generations of its API. The vendor's own `/v1` is shared with others, so
 * each prefix ends in a resource. Paths that are not there are answered by `app.ts`.
 */
export function bindNorthflank(app: FastifyInstance, platform: Platform): void {
  for (const base of bases) {
    for (const prefix of [`${base}/integrations/registries`, `${base}/teams/:teamId/integrations/registries`]) {
      app.register(async (plugin) => bindRegistries(prepare(plugin, platform), platform), { prefix });
    }
    app.register(async (plugin) => bindLogin(prepare(plugin, platform)), { prefix: `${base}/login` });
  }
}

/** What the command line asks before it keeps a key. */
function bindLogin(app: FastifyInstance): void {
  app.get('', () => ({ data: {} }));
}

function prepare(app: FastifyInstance, platform: Platform): FastifyInstance {
  app.addHook('onRequest', async (request) => {
    await authenticate(platform, request);
    const { teamId } = request.params as Partial<Record<string, string>>;
    if (teamId !== undefined) await requireOwnTeam(platform, actorOf(request), teamId);
  });
  app.addHook('onSend', async (_request: FastifyRequest, reply) => {
    reply.header('cache-control', 'no-store');
  });
  return app;
}
