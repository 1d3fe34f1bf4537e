import { Type } from 'typebox';
import { listOf, pageQuery, searchQuery, sortQuery } from './page.ts';
import { named, Time } from './values.ts';

export const Tag = named('Tag', {
  name: Type.String(),
  digest: Type.String({ description: 'The image it points to now.' }),
  createdAt: Time,
  updatedAt: Type.String({ format: 'date-time', description: 'When it was last pointed somewhere.' }),
});

export const TagList = listOf(Tag);
export const TagQuery = Type.Object({ ...pageQuery, ...searchQuery, ...sortQuery }, { additionalProperties: false });
