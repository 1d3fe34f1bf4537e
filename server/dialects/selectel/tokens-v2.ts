import type { FastifyInstance } from 'fastify';
import type { Platform } from '#core/platform.ts';
import { deleteToken, refreshToken, regenerateToken, revokeToken, updateToken } from '#core/token-changes.ts';
import { countTokens, createToken, getToken, listTokens } from '#core/tokens.ts';
import { baseUrlOf } from '#http/peer.ts';
import { queryOf } from '#http/query.ts';
import { actorOf } from '#http/sign-in.ts';
import type { Site } from '#http/site.ts';
import { pageOf, sortOf } from './query.ts';
import { fromNewToken, fromRenewal, fromTokenBody, toDockerConfig, toTokenV2 } from './token-wire.ts';

type TokenPath = { Params: { id: string } };

/** Named tokens with a scope and an expiry of their own. The secret is answered once, when it is made. */
export function bindTokensV2(app: FastifyInstance, platform: Platform, site: Site): void {
  app.get('/tokens', async (request) => {
    const query = queryOf(request);
    const { search, ...page } = pageOf(query);
    const sort = sortOf(query, ['createdAt', 'name', 'lastUsedAt', 'expiresAt']);
    const mode = query.text('scope_mode') === undefined ? undefined : query.word('scope_mode', ['ro', 'rw']);
    const actor = actorOf(request);
    const { items } = await listTokens(platform, actor, { ...page, search, mode, sort });
    return { tokens: items.map(toTokenV2), totalCount: await countTokens(platform, actor, { search, mode }) };
  });

  app.post('/tokens', async (request, reply) => {
    const isDockerConfig = queryOf(request).flag('docker-config');
    const { token, secret } = await createToken(platform, actorOf(request), fromNewToken(request.body));
    reply.code(201);
    if (isDockerConfig) return toDockerConfig(baseUrlOf(platform, site, request), secret);
    return { ...toTokenV2(token), token: secret };
  });

  app.get<TokenPath>('/tokens/:id', async (request) =>
    toTokenV2(await getToken(platform, actorOf(request), request.params.id)),
  );

  app.patch<TokenPath>('/tokens/:id', async (request) => {
    const change = { ...fromTokenBody(request.body), token: request.params.id };
    return toTokenV2(await updateToken(platform, actorOf(request), change));
  });

  app.delete<TokenPath>('/tokens/:id', async (request, reply) => {
    await deleteToken(platform, actorOf(request), { token: request.params.id });
    return reply.code(204).send();
  });

  bindRenewals(app, platform);
}

/** The life of a token's secret: longer, anew, over. */
function bindRenewals(app: FastifyInstance, platform: Platform): void {
  app.post<TokenPath>('/tokens/:id/refresh', async (request) => {
    const input = { token: request.params.id, expiry: fromRenewal(request.body) };
    return toTokenV2(await refreshToken(platform, actorOf(request), input));
  });

  app.post<TokenPath>('/tokens/:id/regenerate', async (request) => {
    const input = { token: request.params.id, expiry: fromRenewal(request.body) };
    const { token, secret } = await regenerateToken(platform, actorOf(request), input);
    return { ...toTokenV2(token), token: secret };
  });

  app.post<TokenPath>('/tokens/:id/revoke', async (request, reply) => {
    await revokeToken(platform, actorOf(request), { token: request.params.id });
    return reply.code(204).send();
  });
}
