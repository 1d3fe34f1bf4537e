import { Type } from 'typebox';
import { listOf, pageQuery, searchQuery, sortQuery } from './page.ts';
import { Id, idsInputOrNull, idsOrNull, NameInput, named, nullable, oneOf, Time, TimeInput } from './values.ts';

/** `*` is all that follow it; `teams:write` is given by name only. */
export const permissionWords = [
  '*',
  'registries:read',
  'registries:create',
  'registries:update',
  'registries:delete',
  'images:pull',
  'images:push',
  'images:delete',
  'garbage:collect',
  'tokens:read',
  'tokens:write',
  'projects:read',
  'projects:write',
  'connections:read',
  'connections:create',
  'connections:update',
  'connections:delete',
  'connections:test',
  'connections:reveal',
  'pull-secrets:read',
  'clusters:read',
  'clusters:write',
  'keys:read',
  'keys:write',
  'audit:read',
  'teams:write',
] as const;

const fields = {
  id: Id,
  name: Type.String(),
  permissions: Type.Array(Type.String(), { description: '* stands for all but teams:write.' }),
  projectIds: idsOrNull('The projects it is bound to; null: the whole team.'),
  status: oneOf(['active', 'expired']),
  expiresAt: nullable(Time),
  lastUsedAt: nullable(Type.String({ format: 'date-time', description: 'To the minute; null: never.' })),
  createdAt: Time,
};

export const ApiKey = named('ApiKey', fields);

export const ApiKeyWithSecret = named(
  'ApiKeyWithSecret',
  { ...fields, secret: Type.String({ description: 'Shown once, here.', examples: ['ldg_key_…'] }) },
  'A new API key. Its secret is not kept and cannot be shown again.',
);

export const CreateApiKey = named('CreateApiKey', {
  name: NameInput,
  permissions: Type.Array(oneOf(permissionWords), { minItems: 1, maxItems: 100, uniqueItems: true }),
  projectIds: Type.Optional(idsInputOrNull('Ids or slugs. Without it all that the calling key may use.')),
  expiresAt: Type.Optional(nullable(TimeInput)),
});

export const ApiKeyList = listOf(ApiKey);
export const ApiKeyQuery = Type.Object({ ...pageQuery, ...searchQuery, ...sortQuery }, { additionalProperties: false });
