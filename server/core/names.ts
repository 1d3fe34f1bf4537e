import { Failure } from './failure.ts';

declare const parsed: unique symbol;
/** The full name of a repository as clients write it: `<registry>/<repository>`. */
export type RepositoryName = string & { readonly [parsed]: 'repository name' };
export type TagName = string & { readonly [parsed]: 'tag' };

// distribution-spec, "Pulling manifests". Linear on hostile input: no two neighbours can match the same character.
const repositoryName = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagName = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const registryName = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function isUuid(text: string): boolean {
  return uuid.test(text);
}

/** Clients cap `host/name` at 255 characters, so longer names could not be pulled. */
export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= 255 && repositoryName.test(text);
}

/** Throws `invalid` about the name. */
export function parseRepositoryName(text: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  throw new Failure(
    'invalid',
    `${JSON.stringify(text.slice(0, 80))} is not a repository name. Use lower-case letters and digits, separated by one of . _ __ or dashes, in components divided by /, at most 255 characters.`,
    { about: 'name' },
  );
}

export function isTagName(text: string): text is TagName {
  return tagName.test(text);
}

/** Throws `invalid` about the tag. */
export function parseTagName(text: string): TagName {
  if (isTagName(text)) return text;
  throw new Failure(
    'invalid',
    `${JSON.stringify(text.slice(0, 140))} is not a tag. Use 1 to 128 letters, digits, dots, dashes and underscores, not beginning with a dot or a dash.`,
    { about: 'tag' },
  );
}

/** Throws `invalid`. UUID-shaped names are refused: a project's id stands for its managed registry in push paths. */
export function parseRegistryName(text: string): string {
  if (text.length <= 63 && registryName.test(text) && !isUuid(text)) return text;
  throw new Failure(
    'invalid',
    `${JSON.stringify(text.slice(0, 80))} is not a registry name. Use 1 to 63 lower-case letters and digits, with single dashes between them, and not the form of a UUID.`,
    { about: 'registry', fields: { '/name': 'not a registry name' } },
  );
}

/** `app` and `default` of `default/app`; the repository part is empty when only a registry is named. */
export function splitRepositoryName(name: RepositoryName): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  return slash < 0
    ? { registry: name, repository: '' }
    : { registry: name.slice(0, slash), repository: name.slice(slash + 1) };
}
