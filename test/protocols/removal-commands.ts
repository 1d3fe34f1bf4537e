import fc from 'fast-check';
import { deleteBlob } from '#core/blobs.ts';
import { cleanRepository } from '#core/cleanup.ts';
import type { Digest } from '#core/digest.ts';
import { deleteManifest } from '#core/manifests.ts';
import type { RepositoryName, TagName } from '#core/names.ts';
import { getRegion } from '#core/regions.ts';
import { createRegistry, deleteRegistry } from '#core/registries.ts';
import { type LiveRepository, openRepository, requireRepository } from '#core/registry-access.ts';
import { deleteRepository } from '#core/repository-deletion.ts';
import { deleteTag } from '#core/tags.ts';
import { content, kind, repository } from './command.ts';
import { attempt } from './requests.ts';
import { type Client, contentOf } from './world.ts';

/** A request of the team's owner to delete something in a repository. */
async function remove(client: Client, name: string, work: (repository: LiveRepository) => Promise<void>) {
  const { platform, world } = client;
  return attempt(async () => {
    const query = { region: getRegion(platform), name: name as RepositoryName, action: 'delete' } as const;
    const access = await openRepository(platform, world.team.owner, query);
    requireRepository(access);
    await work(access);
  });
}

async function removeBlob(client: Client, input: { repository: string; content: number }): Promise<void> {
  const { digest } = contentOf(client.world, input.content);
  const end = client.world.promises.deleting(`${input.repository}/`, digest);
  try {
    await remove(client, input.repository, (repository) => {
      client.world.deletedByName.add(`${repository.id}/${digest}`);
      return deleteBlob(client.platform, repository, digest);
    });
  } finally {
    end();
  }
}

async function removeManifest(client: Client, input: { repository: string; number: number; refuseIfListed: boolean }) {
  const { platform, world } = client;
  const known = [...(world.manifests.get(input.repository) ?? [])];
  const digest: Digest | undefined = known[input.number % Math.max(known.length, 1)];
  if (!digest) return;
  const end = world.promises.deleting(`${input.repository}/`, digest);
  try {
    await remove(client, input.repository, (repository) => {
      if (!input.refuseIfListed) world.deletedByName.add(`${repository.id}/${digest}`);
      return deleteManifest(platform, world.team.owner, repository, digest, input);
    });
  } finally {
    end();
  }
}

/** Digests that were pushed once, each perhaps gone, perhaps listed by an index. */
async function clean(
  { platform, world }: Client,
  input: { repository: string; numbers: number[]; tags: string[]; collectGarbage: boolean },
): Promise<void> {
  const [registry = '', path = ''] = input.repository.split('/');
  const known = [...(world.manifests.get(input.repository) ?? [])];
  const digests = input.numbers.flatMap((number) => known[number] ?? []);
  // It removes no blob and leaves what an index lists: nothing that was promised ends by it.
  await attempt(() =>
    cleanRepository(platform, world.team.owner, { registry, repository: path }, { ...input, digests }),
  );
}

/** All that was promised in there ends. */
async function removeAll(client: Client, prefix: string, work: () => Promise<unknown>): Promise<void> {
  const end = client.world.promises.deleting(prefix);
  try {
    await attempt(work);
  } finally {
    end();
  }
}

const registry = fc.constantFrom('acme', 'depot');

export const removalKinds = {
  deleteTag: kind({
    weight: 1,
    input: fc.record({ repository, tag: fc.constantFrom('v1', 'v2', 'latest') }),
    run: async (client: Client, input: { repository: string; tag: string }) => {
      const { owner } = client.world.team;
      await remove(client, input.repository, (repository) =>
        deleteTag(client.platform, owner, repository, input.tag as TagName),
      );
    },
  }),
  deleteManifest: kind({
    weight: 2,
    input: fc.record({ repository, number: fc.nat(5), refuseIfListed: fc.boolean() }),
    run: removeManifest,
  }),
  clean: kind({
    weight: 3,
    input: fc.record({
      repository,
      numbers: fc.uniqueArray(fc.nat(11), { maxLength: 6 }),
      tags: fc.subarray(['v1', 'v2', 'latest', 'never']),
      collectGarbage: fc.boolean(),
    }),
    run: clean,
  }),
  deleteBlob: kind({ weight: 4, input: fc.record({ repository, content }), run: removeBlob }),
  deleteRepository: kind({
    weight: 1,
    input: fc.record({ repository }),
    run: (client: Client, input: { repository: string }) => {
      const [name = '', path = ''] = input.repository.split('/');
      const { owner } = client.world.team;
      return removeAll(client, `${input.repository}/`, () =>
        deleteRepository(client.platform, owner, { registry: name, repository: path }),
      );
    },
  }),
  deleteRegistry: kind({
    weight: 1,
    input: fc.record({ registry }),
    run: (client: Client, input: { registry: string }) =>
      removeAll(client, `${input.registry}/`, () => deleteRegistry(client.platform, client.world.team.owner, input)),
  }),
  createRegistry: kind({
    weight: 2,
    input: fc.record({ name: registry, sizeLimitBytes: fc.integer({ min: 1200, max: 9000 }) }),
    run: async (client: Client, input: { name: string; sizeLimitBytes: number }) => {
      await attempt(() => createRegistry(client.platform, client.world.team.owner, input));
    },
  }),
};
