import type { Static } from 'typebox';
import { CreateToken, Token, TokenList, TokenQuery, TokenWithSecret, UpdateToken } from '#contract/tokens.ts';
import { refer } from '#contract/values.ts';
import type { Platform } from '#core/platform.ts';
import { deleteToken, updateToken } from '#core/token-changes.ts';
import type { Token as CoreToken } from '#core/token-rows.ts';
import { createToken, getToken, listTokens } from '#core/tokens.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, IdPath, IfMatch, type NativeApp, NoContent, refusals } from './endpoint.ts';
import { fromExpiry, fromPageQuery, fromSort, requireMatch, toETag, toList, toTime, toTimeOrNull } from './wire.ts';

export function bindTokens(app: NativeApp, platform: Platform): void {
  app.post(
    '/tokens',
    {
      schema: {
        ...about('Tokens', 'createToken', 'tokens:write', 'Make a token for docker login, pulls and pushes.'),
        body: refer(CreateToken),
        response: { 201: refer(TokenWithSecret), ...refusals() },
      },
    },
    async (request, reply) => {
      const { name, scope, registryIds, expiresAt } = request.body;
      const input = { name, mode: scope, registryIds, expiry: fromExpiry(expiresAt) };
      const { token, secret } = await createToken(platform, actorOf(request), input);
      reply.code(201).header('etag', tokenETag(token));
      return { ...toWireToken(token), secret };
    },
  );

  app.get(
    '/tokens',
    {
      schema: {
        ...about('Tokens', 'listTokens', 'tokens:read', 'List the tokens, ended ones too; oldest first unless asked.'),
        querystring: TokenQuery,
        response: { 200: refer(TokenList), ...refusals() },
      },
    },
    async (request) => {
      const { search, sort } = request.query;
      const input = { ...fromPageQuery(request.query), search, sort: fromSort(sort) };
      return toList(await listTokens(platform, actorOf(request), input), toWireToken);
    },
  );

  bindToken(app, platform);
}

function bindToken(app: NativeApp, platform: Platform): void {
  app.get(
    '/tokens/:id',
    {
      schema: {
        ...about('Tokens', 'getToken', 'tokens:read', 'Show a token, without its secret.'),
        params: IdPath,
        response: { 200: refer(Token), ...refusals(404) },
      },
    },
    async (request, reply) => {
      const token = await getToken(platform, actorOf(request), request.params.id);
      reply.header('etag', tokenETag(token));
      return toWireToken(token);
    },
  );

  app.patch(
    '/tokens/:id',
    {
      schema: {
        ...about('Tokens', 'updateToken', 'tokens:write', 'Change a token. What it may do changes at once.'),
        params: IdPath,
        headers: IfMatch,
        body: refer(UpdateToken),
        response: { 200: refer(Token), ...refusals(404, 412) },
      },
    },
    async (request, reply) => {
      const { name, scope, registryIds, expiresAt } = request.body;
      const change = { name, mode: scope, registryIds, expiry: fromExpiry(expiresAt) };
      const token = await updateToken(platform, actorOf(request), { ...change, ...tokenInput(request) });
      reply.header('etag', tokenETag(token));
      return toWireToken(token);
    },
  );

  app.delete(
    '/tokens/:id',
    {
      schema: {
        ...about('Tokens', 'deleteToken', 'tokens:write', 'End a token and forget it.'),
        params: IdPath,
        headers: IfMatch,
        response: { 204: NoContent, ...refusals(404, 412) },
      },
    },
    async (request, reply) => {
      await deleteToken(platform, actorOf(request), tokenInput(request));
      return reply.code(204).send(null);
    },
  );
}

type TokenRequest = { params: { id: string }; headers: { 'if-match'?: string } };

/** Which token, and that it is still the one that the caller read. */
export function tokenInput({ params, headers }: TokenRequest) {
  return {
    token: params.id,
    expect: (current: CoreToken) => requireMatch(headers['if-match'], tokenETag(current)),
  };
}

export function tokenETag(token: CoreToken): string {
  return toETag([token.id, token.name, token.mode, token.registryIds, token.expiresAt, token.status]);
}

export function toWireToken(token: CoreToken): Static<typeof Token> {
  return {
    id: token.id,
    name: token.name,
    scope: token.mode,
    registryIds: token.registryIds && [...token.registryIds],
    projectIds: token.projectIds && [...token.projectIds],
    status: token.status,
    expiresAt: toTimeOrNull(token.expiresAt),
    lastUsedAt: toTimeOrNull(token.lastUsedAt),
    createdAt: toTime(token.createdAt),
  };
}
