import { Type } from 'typebox';
import { listOf, pageQuery, searchQuery, sortQuery } from './page.ts';
import { Id, named, Time } from './values.ts';

export const Project = named('Project', { id: Id, name: Type.String(), slug: Type.String(), createdAt: Time });

export const ProjectList = listOf(Project);
export const ProjectQuery = Type.Object(
  { ...pageQuery, ...searchQuery, ...sortQuery },
  { additionalProperties: false },
);
