import type { FastifyInstance } from 'fastify';
import type { Platform } from '#core/platform.ts';
import { parseAuthorization, parseAuthToken } from '#http/authorization.ts';
import { authenticate } from '#http/sign-in.ts';
import type { Site } from '#http/site.ts';
import { bindClusters } from './clusters.ts';
import { bindGarbage } from './garbage.ts';
import { bindImages, bindImagesV2 } from './images.ts';
import { bindRegistries, bindRegistriesV2 } from './registries.ts';
import { bindRepositories, bindRepositoriesV2 } from './repositories.ts';
import { bindTokensV1 } from './tokens-v1.ts';
import { bindTokensV2 } from './tokens-v2.ts';

/** Where clients written for Selectel look, and the same under its name, for when another vendor wants `/api` too. */
const bases = ['/api', '/selectel/api'];

/** Selectel's Container Registry API, versions 1 and 2. Paths that are not there are answered by `app.ts`. */
export function bindSelectel(app: FastifyInstance, platform: Platform, site: Site): void {
  for (const base of bases) {
    app.register(async (plugin) => bindV1(prepare(plugin, platform), platform, site), { prefix: `${base}/v1` });
    app.register(async (plugin) => bindV2(prepare(plugin, platform), platform, site), { prefix: `${base}/v2` });
  }
}

function bindV1(app: FastifyInstance, platform: Platform, site: Site): void {
  bindRegistries(app, platform);
  bindClusters(app, platform);
  bindGarbage(app, platform);
  bindRepositories(app, platform);
  bindImages(app, platform);
  bindTokensV1(app, platform, site);
}

function bindV2(app: FastifyInstance, platform: Platform, site: Site): void {
  bindRegistriesV2(app, platform);
  bindRepositoriesV2(app, platform);
  bindImagesV2(app, platform);
  bindTokensV2(app, platform, site);
}

function prepare(app: FastifyInstance, platform: Platform): FastifyInstance {
  app.addHook('onRequest', (request) => {
    const token = parseAuthToken(request.headers['x-auth-token']);
    // The vendor's own header goes first: proxies on the way may add an `Authorization` of theirs.
    return token.scheme === 'none'
      ? authenticate(platform, request, parseAuthorization(request.headers.authorization))
      : authenticate(platform, request, token);
  });
  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
  });
  return app;
}
