import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import { countRegistries, createRegistry, deleteRegistry, getRegistry, listRegistries } from '#core/registries.ts';
import { fieldOf, isText } from '#http/body-fields.ts';
import { queryOf } from '#http/query.ts';
import { actorOf } from '#http/sign-in.ts';
import { pageOf, sortOf } from './query.ts';
import { toRegistryV1, toRegistryV2 } from './wire.ts';

export type RegistryPath = { Params: { id: string } };

export function bindRegistries(app: FastifyInstance, platform: Platform): void {
  app.get('/registries', async (request) => {
    const { items } = await listRegistries(platform, actorOf(request), listInputOf(request));
    return items.map(toRegistryV1);
  });

  app.post('/registries', async (request, reply) => {
    const name = parseName(fieldOf(request.body, 'name', isText));
    const registry = await createRegistry(platform, actorOf(request), { name });
    return reply.code(201).send(toRegistryV1(registry));
  });

  app.get<RegistryPath>('/registries/:id', async (request) =>
    toRegistryV1(await getRegistry(platform, actorOf(request), request.params.id)),
  );

  app.delete<RegistryPath>('/registries/:id', async (request, reply) => {
    await deleteRegistry(platform, actorOf(request), { registry: request.params.id });
    return reply.code(204).send();
  });
}

export function bindRegistriesV2(app: FastifyInstance, platform: Platform): void {
  app.get('/registries', async (request) => {
    const input = listInputOf(request);
    const { items } = await listRegistries(platform, actorOf(request), input);
    const totalCount = await countRegistries(platform, actorOf(request), { search: input.search });
    return { registries: items.map(toRegistryV2), totalCount };
  });
}

function listInputOf(request: FastifyRequest) {
  const query = queryOf(request);
  return { ...pageOf(query), sort: sortOf(query, ['name', 'createdAt', 'size']) };
}

/** Stricter than the platform's own rule: names made here must be ones that could move to the vendor. */
function parseName(name: string | undefined): string {
  if (name !== undefined && /^[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?$/.test(name)) return name;
  throw new Failure(
    'invalid',
    'name is 1 to 20 lower-case letters, digits and dashes. It begins with a letter and does not end with a dash.',
    { about: 'registry', fields: { '/name': 'not a registry name' } },
  );
}
