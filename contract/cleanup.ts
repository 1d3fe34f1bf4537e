import { Type } from 'typebox';
import { named, nullable, refer } from './values.ts';

const names = (description: string) =>
  Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { maxItems: 10_000, uniqueItems: true, description }),
  );

export const CleanRepository = named('CleanRepository', {
  digests: names('Images that go with all their tags.'),
  tags: names('Tags that go. With its last tag an image goes too, unless an index lists it.'),
  collectGarbage: Type.Optional(
    Type.Boolean({ description: 'Free what nothing needs any more, in the background. True unless said otherwise.' }),
  ),
});

export const CleanedImage = named(
  'CleanedImage',
  { digest: Type.String(), tags: Type.Array(Type.String()) },
  'A digest with the tags that went. The image is still there if another tag or an index holds it.',
);

export const CleanupFailure = named('CleanupFailure', {
  digest: nullable(Type.String({ description: 'null: it is a tag that is not there.' })),
  tags: Type.Array(Type.String()),
  error: Type.String({ description: 'Why it did not go.' }),
});

export const CleanupResult = named('CleanupResult', {
  deleted: Type.Array(refer(CleanedImage)),
  failed: Type.Array(refer(CleanupFailure)),
});
