import { Type } from 'typebox';
import { listOf, pageQuery, searchQuery, sortQuery } from './page.ts';
import { Id, named, oneOf, Time } from './values.ts';

export const Repository = named('Repository', {
  id: Id,
  name: Type.String({ description: 'Without the registry, for example backend/api.' }),
  registryId: Id,
  type: oneOf(['image', 'helm-chart'], { description: 'What the newest tagged manifest is.' }),
  sizeBytes: Type.Integer({
    minimum: 0,
    description: 'Bytes of its blobs and manifests. What it shares with other repositories counts in each.',
  }),
  imageCount: Type.Integer({ minimum: 0, description: 'Without signatures, SBOMs and other attachments of images.' }),
  tagCount: Type.Integer({ minimum: 0 }),
  createdAt: Time,
  updatedAt: Type.String({ format: 'date-time', description: 'The last push, tag move or deletion.' }),
});

export const RepositoryList = listOf(Repository);
export const RepositoryQuery = Type.Object(
  { ...pageQuery, ...searchQuery, ...sortQuery },
  { additionalProperties: false },
);
