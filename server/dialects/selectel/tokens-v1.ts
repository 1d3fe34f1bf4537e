import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import { refreshToken, revokeToken } from '#core/token-changes.ts';
import type { Token } from '#core/token-rows.ts';
import { createToken, findTokenBySecret } from '#core/tokens.ts';
import { baseUrlOf } from '#http/peer.ts';
import { queryOf } from '#http/query.ts';
import { actorOf } from '#http/sign-in.ts';
import type { Site } from '#http/site.ts';
import { fromTtl, toDockerConfig, toTokenV1, ttls } from './token-wire.ts';

type TokenPath = { Params: { token: string } };

/** Version 1 names a token by its secret: such a path is never logged. */
const config = { hidesPath: true };

/** Tokens with all rights on all registries, for half a day or a year. Version 2 lists them too. */
export function bindTokensV1(app: FastifyInstance, platform: Platform, site: Site): void {
  app.post('/token', async (request, reply) => {
    const query = queryOf(request);
    const expiry = fromTtl(query.word('ttl', ttls));
    const isDockerConfig = query.flag('docker-config');
    const { token, secret } = await createToken(platform, actorOf(request), { mode: 'rw', registryIds: null, expiry });
    reply.code(201);
    if (isDockerConfig) return toDockerConfig(baseUrlOf(platform, site, request), secret);
    return { ...toTokenV1(token, platform.now()), token: secret };
  });

  app.get<TokenPath>('/token/:token', { config }, async (request) => {
    const token = await findLiveToken(platform, request);
    if (!token) throw tokenUnknown;
    return toTokenV1(token, platform.now());
  });

  app.delete<TokenPath>('/token/:token', { config }, async (request, reply) => {
    const token = await findLiveToken(platform, request);
    if (!token) throw new Failure('invalid', 'Invalid or malformed token.', { about: 'token' });
    await revokeToken(platform, actorOf(request), { token: token.id });
    return reply.code(204).send();
  });

  app.post<TokenPath>('/token/:token/refresh', { config }, async (request) => {
    const token = await findLiveToken(platform, request);
    if (!token) throw tokenUnknown;
    const refreshed = await refreshToken(platform, actorOf(request), { token: token.id, expect: requireLive });
    return { ...toTokenV1(refreshed, platform.now()), token: request.params.token };
  });
}

async function findLiveToken(platform: Platform, request: FastifyRequest<TokenPath>): Promise<Token | undefined> {
  const token = await findTokenBySecret(platform, actorOf(request), request.params.token);
  return token?.status === 'active' ? token : undefined;
}

/** Ended meanwhile: it must not come to life again. */
function requireLive({ status }: Token): void {
  if (status !== 'active') throw tokenUnknown;
}

const tokenUnknown = new Failure('not_found', 'There is no such token.', { about: 'token' });
