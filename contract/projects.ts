import { Type } from 'typebox';
import { listOf, pageQuery, searchQuery, sortQuery } from './page.ts';
import { Registry } from './registries.ts';
import { Id, NameInput, named, refer, Time } from './values.ts';

const fields = { id: Id, name: Type.String(), slug: Type.String(), createdAt: Time };

export const Project = named('Project', fields);

export const CreateProject = named('CreateProject', { name: NameInput });

export const CreatedProject = named('CreatedProject', {
  ...fields,
  registries: Type.Array(refer(Registry), { description: 'Its managed registries, one in each region.' }),
});

export const UpdateProject = named(
  'UpdateProject',
  { name: Type.Optional(NameInput) },
  'The slug stays: it is in paths and in names of registries.',
);

export const ProjectList = listOf(Project);
export const ProjectQuery = Type.Object(
  { ...pageQuery, ...searchQuery, ...sortQuery },
  { additionalProperties: false },
);

export const DeleteProjectQuery = Type.Object(
  { force: Type.Optional(Type.Boolean({ description: 'With the images that its registries hold.' })) },
  { additionalProperties: false },
);
