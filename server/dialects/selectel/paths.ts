import type { FastifyRequest } from 'fastify';
import { Failure } from '#core/failure.ts';
import { isRepositoryName } from '#core/names.ts';
import type { RepositoryAddress } from '#core/repositories.ts';

export type RepositoryPath = { Params: { id: string; name: string } };
export type ImagePath = { Params: { id: string; name: string; reference: string } };

/** Throws `not_found`: what is no name is the name of nothing here. */
export function addressOf({ params }: FastifyRequest<RepositoryPath>): RepositoryAddress {
  if (isRepositoryName(params.name)) return { registry: params.id, repository: params.name };
  throw new Failure('not_found', 'There is no such repository in this registry.', { about: 'repository' });
}

/**
 * A repository's name is one segment, its slashes written as `%2F`. Some clients forget that: where three segments or
 * more follow `repositories/`, no route would fit, and all but the last one are taken for the name.
 */
export function joinRepositoryName(url: string): string {
  const match = /^((?:\/selectel)?\/api\/v[12]\/registries\/[^/?]+\/repositories\/)([^?]+)(.*)$/s.exec(url);
  if (!match) return url;
  const [, before = '', path = '', query = ''] = match;
  const segments = path.split('/');
  if (segments.length < 3) return url;
  return `${before}${segments.slice(0, -1).join('%2F')}/${segments.at(-1)}${query}`;
}
