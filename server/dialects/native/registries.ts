import type { Static } from 'typebox';
import { Operation } from '#contract/operations.ts';
import { CreateRegistry, Registry, RegistryList, RegistryQuery, UpdateRegistry } from '#contract/registries.ts';
import { refer } from '#contract/values.ts';
import type { Platform } from '#core/platform.ts';
import { createRegistry, deleteRegistry, getRegistry, listRegistries, updateRegistry } from '#core/registries.ts';
import type { Registry as CoreRegistry } from '#core/registry-rows.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, IfMatch, type NativeApp, RegistryPath, refusals } from './endpoint.ts';
import { toWireOperation } from './operations.ts';
import { fromPageQuery, fromSort, requireMatch, toETag, toList, toTime } from './wire.ts';

export function bindRegistries(app: NativeApp, platform: Platform): void {
  const toWire = (registry: CoreRegistry) => toWireRegistry(platform, registry);

  app.post(
    '/registries',
    {
      schema: {
        ...about('Registries', 'createRegistry', 'registries:create', 'Make a registry.'),
        body: refer(CreateRegistry),
        response: { 201: refer(Registry), ...refusals(409) },
      },
    },
    async (request, reply) => {
      const registry = await createRegistry(platform, actorOf(request), request.body);
      reply.code(201).header('etag', etagOf(registry));
      return toWire(registry);
    },
  );

  app.get(
    '/registries',
    {
      schema: {
        ...about('Registries', 'listRegistries', 'registries:read', 'List the registries.'),
        querystring: RegistryQuery,
        response: { 200: refer(RegistryList), ...refusals() },
      },
    },
    async (request) => {
      const { search, project, sort } = request.query;
      const input = { ...fromPageQuery(request.query), search, project, sort: fromSort(sort) };
      return toList(await listRegistries(platform, actorOf(request), input), toWire);
    },
  );

  bindRegistry(app, platform);
}

function bindRegistry(app: NativeApp, platform: Platform): void {
  app.get(
    '/registries/:registry',
    {
      schema: {
        ...about('Registries', 'getRegistry', 'registries:read', 'Show a registry.'),
        params: RegistryPath,
        response: { 200: refer(Registry), ...refusals(404) },
      },
    },
    async (request, reply) => {
      const registry = await getRegistry(platform, actorOf(request), request.params.registry);
      reply.header('etag', etagOf(registry));
      return toWireRegistry(platform, registry);
    },
  );

  app.patch(
    '/registries/:registry',
    {
      schema: {
        ...about('Registries', 'updateRegistry', 'registries:update', 'Change the limit or visibility of a registry.'),
        params: RegistryPath,
        headers: IfMatch,
        body: refer(UpdateRegistry),
        response: { 200: refer(Registry), ...refusals(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const registry = await updateRegistry(platform, actorOf(request), {
        ...request.body,
        registry: request.params.registry,
        expect: (current) => requireMatch(request.headers['if-match'], etagOf(current)),
      });
      reply.header('etag', etagOf(registry));
      return toWireRegistry(platform, registry);
    },
  );

  app.delete(
    '/registries/:registry',
    {
      schema: {
        ...about('Registries', 'deleteRegistry', 'registries:delete', 'Delete a registry with all it holds.'),
        params: RegistryPath,
        headers: IfMatch,
        response: { 202: refer(Operation), ...refusals(404, 409, 412) },
      },
    },
    async (request, reply) => {
      const operation = await deleteRegistry(platform, actorOf(request), {
        registry: request.params.registry,
        expect: (current) => requireMatch(request.headers['if-match'], etagOf(current)),
      });
      reply.code(202);
      return toWireOperation(operation);
    },
  );
}

const etagOf = ({ id, isPublic, sizeLimitBytes, status, updatedAt }: CoreRegistry) =>
  toETag([id, isPublic, sizeLimitBytes, status, updatedAt]);

export function toWireRegistry({ config }: Platform, registry: CoreRegistry): Static<typeof Registry> {
  const region = config.regions.find(({ id }) => id === registry.regionId);
  return {
    id: registry.id,
    name: registry.name,
    host: region?.host ?? '',
    region: region?.slug ?? '',
    projectId: registry.projectId,
    status: registry.status,
    statusReason: registry.statusReason,
    isPublic: registry.isPublic,
    isManaged: registry.isManaged,
    sizeBytes: registry.sizeBytes,
    reservedBytes: registry.reservedBytes,
    sizeLimitBytes: registry.sizeLimitBytes,
    repositoryCount: registry.repositoryCount,
    createdAt: toTime(registry.createdAt),
    updatedAt: toTime(registry.updatedAt),
  };
}
