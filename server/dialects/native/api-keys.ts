import type { Static } from 'typebox';
import { ApiKey, ApiKeyList, ApiKeyQuery, ApiKeyWithSecret, CreateApiKey } from '#contract/api-keys.ts';
import { refer } from '#contract/values.ts';
import { type ApiKey as CoreApiKey, createApiKey, getApiKey, listApiKeys, revokeApiKey } from '#core/api-keys.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, IdPath, type NativeApp, NoContent, refusals } from './endpoint.ts';
import { fromExpiry, fromPageQuery, fromSort, toList, toTime, toTimeOrNull } from './wire.ts';

export function bindApiKeys(app: NativeApp, platform: Platform): void {
  app.post(
    '/api-keys',
    {
      schema: {
        ...about('API keys', 'createApiKey', 'keys:write', 'Make an API key that holds no more than the calling one.'),
        body: refer(CreateApiKey),
        response: { 201: refer(ApiKeyWithSecret), ...refusals(409) },
      },
    },
    async (request, reply) => {
      const { name, permissions, projectIds, expiresAt } = request.body;
      const input = { name, permissions, projectIds, expiry: fromExpiry(expiresAt) };
      const { key, secret } = await createApiKey(platform, actorOf(request), input);
      reply.code(201);
      return { ...toWireApiKey(key), secret };
    },
  );

  app.get(
    '/api-keys',
    {
      schema: {
        ...about('API keys', 'listApiKeys', 'keys:read', 'List the API keys, oldest first unless asked otherwise.'),
        querystring: ApiKeyQuery,
        response: { 200: refer(ApiKeyList), ...refusals() },
      },
    },
    async (request) => {
      const { search, sort } = request.query;
      const input = { ...fromPageQuery(request.query), search, sort: fromSort(sort) };
      return toList(await listApiKeys(platform, actorOf(request), input), toWireApiKey);
    },
  );

  bindApiKey(app, platform);
}

function bindApiKey(app: NativeApp, platform: Platform): void {
  app.get(
    '/api-keys/:id',
    {
      schema: {
        ...about('API keys', 'getApiKey', 'keys:read', 'Show an API key, without its secret.'),
        params: IdPath,
        response: { 200: refer(ApiKey), ...refusals(404) },
      },
    },
    async (request) => toWireApiKey(await getApiKey(platform, actorOf(request), request.params.id)),
  );

  app.delete(
    '/api-keys/:id',
    {
      schema: {
        ...about('API keys', 'revokeApiKey', 'keys:write', 'Revoke an API key, and the access tokens made with it.'),
        params: IdPath,
        response: { 204: NoContent, ...refusals(404, 409) },
      },
    },
    async (request, reply) => {
      await revokeApiKey(platform, actorOf(request), { key: request.params.id });
      return reply.code(204).send(null);
    },
  );
}

export function toWireApiKey(key: CoreApiKey): Static<typeof ApiKey> {
  return {
    id: key.id,
    name: key.name,
    permissions: [...key.permissions],
    projectIds: key.projectIds && [...key.projectIds],
    status: key.status,
    expiresAt: toTimeOrNull(key.expiresAt),
    lastUsedAt: toTimeOrNull(key.lastUsedAt),
    createdAt: toTime(key.createdAt),
  };
}
