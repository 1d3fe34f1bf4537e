import { Type } from 'typebox';
import { listOf, pageQuery, searchQuery, sortQuery } from './page.ts';
import { Bytes, Id, NameInput, named, nullable, oneOf, Time } from './values.ts';

export const Registry = named('Registry', {
  id: Id,
  name: Type.String({ description: 'The first component of push paths; unique in the region.' }),
  host: Type.String({ description: 'What docker login takes, for example registry.example.com.' }),
  region: Type.String(),
  projectId: nullable(Id),
  status: oneOf(['active', 'collecting', 'deleting', 'error']),
  statusReason: nullable(Type.String({ description: 'Why an operation on it failed.' })),
  isPublic: Type.Boolean({ description: 'Whether anybody may pull without signing in.' }),
  isManaged: Type.Boolean({ description: 'It came with its project and can be deleted only with it.' }),
  sizeBytes: Bytes,
  reservedBytes: Type.Integer({ minimum: 0, description: 'What running uploads may still add.' }),
  sizeLimitBytes: Bytes,
  repositoryCount: Type.Integer({ minimum: 0, description: 'From its first manifest on, each repository counts.' }),
  createdAt: Time,
  updatedAt: Time,
});

const SizeLimit = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Bytes.' });

export const CreateRegistry = named('CreateRegistry', {
  name: NameInput,
  region: Type.Optional(Type.String({ maxLength: 255, description: 'A region; without it the first one.' })),
  project: Type.Optional(
    Type.String({ maxLength: 255, description: 'The project it belongs to, by id or slug; without it the team.' }),
  ),
  isPublic: Type.Optional(Type.Boolean()),
  sizeLimitBytes: Type.Optional(SizeLimit),
});

export const UpdateRegistry = named('UpdateRegistry', {
  isPublic: Type.Optional(Type.Boolean()),
  sizeLimitBytes: Type.Optional(SizeLimit),
});

export const RegistryList = listOf(Registry);
export const RegistryQuery = Type.Object(
  {
    ...pageQuery,
    ...searchQuery,
    ...sortQuery,
    project: Type.Optional(Type.String({ maxLength: 255, description: 'Only those of this project: its id.' })),
  },
  { additionalProperties: false },
);
