import { RenewToken, Token, TokenWithSecret } from '#contract/tokens.ts';
import { refer } from '#contract/values.ts';
import type { Platform } from '#core/platform.ts';
import { refreshToken, regenerateToken, revokeToken } from '#core/token-changes.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, IdPath, IfMatch, type NativeApp, refusals } from './endpoint.ts';
import { tokenETag, tokenInput, toWireToken } from './tokens.ts';
import { fromExpiry } from './wire.ts';

/** The life of a token's secret: longer, anew, over. */
export function bindTokenRenewal(app: NativeApp, platform: Platform): void {
  app.post(
    '/tokens/:id/refresh',
    {
      schema: {
        ...about('Tokens', 'refreshToken', 'tokens:write', 'Move the expiry. An expired token lives again.'),
        params: IdPath,
        headers: IfMatch,
        body: refer(RenewToken),
        response: { 200: refer(Token), ...refusals(404, 412) },
      },
    },
    async (request, reply) => {
      const input = { ...tokenInput(request), expiry: fromExpiry(request.body.expiresAt) };
      const token = await refreshToken(platform, actorOf(request), input);
      reply.header('etag', tokenETag(token));
      return toWireToken(token);
    },
  );

  app.post(
    '/tokens/:id/regenerate',
    {
      schema: {
        ...about('Tokens', 'regenerateToken', 'tokens:write', 'Give the token a new secret. The old one ends at once.'),
        params: IdPath,
        headers: IfMatch,
        body: refer(RenewToken),
        response: { 200: refer(TokenWithSecret), ...refusals(404, 412) },
      },
    },
    async (request, reply) => {
      const input = { ...tokenInput(request), expiry: fromExpiry(request.body.expiresAt) };
      const { token, secret } = await regenerateToken(platform, actorOf(request), input);
      reply.header('etag', tokenETag(token));
      return { ...toWireToken(token), secret };
    },
  );

  app.post(
    '/tokens/:id/revoke',
    {
      schema: {
        ...about('Tokens', 'revokeToken', 'tokens:write', 'End the secret. The token stays in the list.'),
        params: IdPath,
        headers: IfMatch,
        response: { 200: refer(Token), ...refusals(404, 412) },
      },
    },
    async (request, reply) => {
      const token = await revokeToken(platform, actorOf(request), tokenInput(request));
      reply.header('etag', tokenETag(token));
      return toWireToken(token);
    },
  );
}
