import { Type } from 'typebox';
import { listOf, pageQuery } from './page.ts';
import { Bytes, named, nullable, oneOf, refer } from './values.ts';

const Digest = Type.String({ examples: [`sha256:${'0123456789abcdef'.repeat(4)}`] });

export const Layer = named('Layer', { digest: Digest, mediaType: Type.String(), sizeBytes: Bytes });

export const IndexEntry = named(
  'IndexEntry',
  {
    digest: Digest,
    mediaType: Type.String(),
    sizeBytes: Bytes,
    os: Type.String(),
    architecture: Type.String(),
    variant: Type.String(),
  },
  'What an index lists: one image, usually of one platform.',
);

export const Image = named('Image', {
  digest: Digest,
  kind: oneOf(['image', 'index'], { description: 'An index lists images, one for each platform.' }),
  mediaType: Type.String(),
  artifactType: nullable(Type.String()),
  configMediaType: nullable(Type.String()),
  tags: Type.Array(Type.String(), { description: 'In order of name; the first 100 of them.' }),
  hasMoreTags: Type.Boolean({ description: 'Whether there are tags beyond those 100.' }),
  os: Type.String({ description: 'Empty for an index and for what has no platform.' }),
  architecture: Type.String(),
  sizeBytes: Type.Integer({
    minimum: 0,
    description: 'The manifest with its config and layers; of an index, itself and all it lists. Each digest once.',
  }),
  layers: Type.Array(refer(Layer), { description: "In the manifest's order; empty for an index." }),
  entries: Type.Array(refer(IndexEntry), { description: 'What an index lists, in its order; else empty.' }),
  subject: nullable(Type.String({ description: 'The digest this is attached to: a signature, an SBOM.' })),
  createdAt: Type.String({ format: 'date-time', description: 'When it was built, if it says so; else pushedAt.' }),
  pushedAt: Type.String({ format: 'date-time', description: 'When it first came to this repository.' }),
});

export const ImageList = listOf(Image);

export const ImageQuery = Type.Object(
  {
    ...pageQuery,
    search: Type.Optional(
      Type.String({ maxLength: 255, description: 'A part of a tag, or how the digest begins: at least four digits.' }),
    ),
    attachments: Type.Optional(
      Type.Boolean({ description: 'List signatures, SBOMs and other attachments of images, too.' }),
    ),
  },
  { additionalProperties: false },
);
