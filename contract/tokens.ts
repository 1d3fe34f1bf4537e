import { Type } from 'typebox';
import { listOf, pageQuery, searchQuery, sortQuery } from './page.ts';
import { Id, idsInputOrNull, idsOrNull, named, nullable, oneOf, Time, TimeInput } from './values.ts';

const Scope = oneOf(['ro', 'rw'], { description: 'ro pulls; rw pulls, pushes and deletes.' });

const fields = {
  id: Id,
  name: Type.String({ description: 'May be empty.' }),
  scope: Scope,
  registryIds: idsOrNull('The registries it opens; null: all, those to come too.'),
  projectIds: idsOrNull('The projects it belongs to, which follow from its registries; null: the whole team.'),
  status: oneOf(['active', 'expired', 'revoked']),
  expiresAt: nullable(Time),
  lastUsedAt: nullable(Type.String({ format: 'date-time', description: 'To the minute; null: never.' })),
  createdAt: Time,
};

export const Token = named('Token', fields, 'A secret for docker login, pulls and pushes.');

export const TokenWithSecret = named(
  'TokenWithSecret',
  { ...fields, secret: Type.String({ description: 'Shown once, here.', examples: ['ldg_token_…'] }) },
  'A token with its secret, which is not kept and cannot be shown again.',
);

const Registries = idsInputOrNull('Ids of registries; null: all, those to come too.');
const ExpiresAt = Type.Optional(nullable(TimeInput));
const Name = Type.Optional(Type.String({ maxLength: 255 }));

export const CreateToken = named('CreateToken', {
  name: Name,
  scope: Scope,
  registryIds: Registries,
  expiresAt: ExpiresAt,
});

export const UpdateToken = named('UpdateToken', {
  name: Name,
  scope: Type.Optional(Scope),
  registryIds: Type.Optional(Registries),
  expiresAt: ExpiresAt,
});

export const RenewToken = named(
  'RenewToken',
  { expiresAt: ExpiresAt },
  'The new expiry; null: none. Without it the token lives on for as long as it was made for.',
);

export const TokenList = listOf(Token);
export const TokenQuery = Type.Object({ ...pageQuery, ...searchQuery, ...sortQuery }, { additionalProperties: false });
