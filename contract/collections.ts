import { Type } from 'typebox';
import { Bytes, named, nullable, Time } from './values.ts';

export const StartCollection = named(
  'StartCollection',
  {
    deleteUntagged: Type.Optional(
      Type.Boolean({ description: 'Also images without a tag, with what only they need. Without it, false.' }),
    ),
  },
  'What a garbage collection takes.',
);

export const CollectionPreview = named(
  'CollectionPreview',
  {
    unreferencedBytes: Bytes,
    untaggedBytes: Bytes,
    totalBytes: Bytes,
    leasedBytes: Bytes,
    leasedUntil: nullable(Time),
  },
  'What a collection would free now. Unreferenced: layers that no image needs. Untagged: images without a tag, and the layers that only they need. Leased: layers that somebody may be about to use, which go when `leasedUntil` has come.',
);
