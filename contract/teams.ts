import { Type } from 'typebox';
import { ApiKeyWithSecret } from './api-keys.ts';
import { Project } from './projects.ts';
import { Registry } from './registries.ts';
import { Id, NameInput, named, refer, Time } from './values.ts';

export const Team = named('Team', { id: Id, name: Type.String(), slug: Type.String(), createdAt: Time });

export const CreateTeam = named('CreateTeam', { name: NameInput });

export const CreatedTeam = named(
  'CreatedTeam',
  {
    team: refer(Team),
    project: refer(Project),
    registries: Type.Array(refer(Registry), { description: "The project's managed registries, one in each region." }),
    apiKey: refer(ApiKeyWithSecret),
  },
  'A team with its first project, its registries and its first API key, whose secret is shown only here.',
);
