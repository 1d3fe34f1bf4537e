// What a manifest says, read from the exact bytes that were pushed. Nothing here knows the database.
// image-spec: manifest.md, image-index.md, descriptor.md; distribution-spec: "Pushing Manifests".

import { isWellFormedDigest } from './digest.ts';
import { Failure } from './failure.ts';
import { isObject, parseStrictObject } from './json-text.ts';
import { isStorable } from './page.ts';

/** 4 MiB: what the spec asks for at least, and what clients refuse beyond. */
export const manifestBytesMax = 4 * 1024 * 1024;

export type Descriptor = { mediaType: string; digest: string; size: number };

export type ManifestDocument = {
  mediaType: string;
  kind: 'image' | 'index';
  artifactType: string | undefined;
  config: Descriptor | undefined;
  /** Layers of an image, blobs of an artifact, in order. */
  layers: readonly Descriptor[];
  /** Manifests of an index; buildkit's cache lists blobs there too. */
  children: readonly Descriptor[];
  subject: Descriptor | undefined;
  annotations: Record<string, unknown> | undefined;
};

const oci = 'application/vnd.oci.image.';
const docker = 'application/vnd.docker.distribution.manifest.';
// A map, not an object: the type comes from the client, and an object also has `constructor`.
const kinds = new Map<string, 'image' | 'index'>([
  [`${oci}manifest.v1+json`, 'image'],
  [`${oci}index.v1+json`, 'index'],
  [`${docker}v2+json`, 'image'],
  [`${docker}list.v2+json`, 'index'],
  ['application/vnd.oci.artifact.manifest.v1+json', 'image'],
]);
const artifactManifest = 'application/vnd.oci.artifact.manifest.v1+json';
/** Content types that name no manifest type: then the document itself decides. */
const unspecific = new Set(['', 'application/octet-stream', 'application/json']);
/** Layers that by their type are fetched elsewhere and need not be here. */
const foreignLayer =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.foreign\.diff\.tar\.gzip)$/;

/** Throws `invalid` about the manifest, or about a digest in it. `contentType` is the request's, empty if absent. */
export function parseManifest(bytes: Uint8Array, contentType: string): ManifestDocument {
  const json = parseStrictObject(bytes);
  requireOneSpelling(json, documentFields);
  const mediaType = decideMediaType(json, contentType);
  const kind = kinds.get(mediaType);
  if (!kind) throw refuse(`The media type ${JSON.stringify(mediaType.slice(0, 100))} is not a manifest's.`);
  requireOneKind(json, mediaType, kind);
  const isArtifact = mediaType === artifactManifest;
  return {
    mediaType,
    kind,
    artifactType: optionalString(json, 'artifactType'),
    config: json.config === undefined ? undefined : toDescriptor(json.config, '/config'),
    layers: kind === 'image' ? toDescriptors(json, isArtifact ? 'blobs' : 'layers') : [],
    children: kind === 'index' ? toDescriptors(json, 'manifests') : [],
    subject: json.subject === undefined || json.subject === null ? undefined : toDescriptor(json.subject, '/subject'),
    annotations: toAnnotations(json.annotations),
  };
}

const documentFields = ['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'blobs', 'manifests'];
const descriptorFields = ['mediaType', 'digest', 'size'];

/**
 * Go's parser, which most clients have, reads `Layers` as `layers`: a document that says one thing to them and another
 * here would be checked as what it is not. Fields we do not read may be spelt as anyone likes.
 */
function requireOneSpelling(json: Record<string, unknown>, fields: readonly string[]): void {
  for (const key of Object.keys(json)) {
    if (fields.includes(key) || key.length > 20) continue;
    // Up and down: Go also takes the long s and the Kelvin sign for s and k.
    const folded = key.toUpperCase().toLowerCase();
    const field = fields.find((name) => name.toLowerCase() === folded);
    if (field) throw refuse(`It has the field ${JSON.stringify(key)}, which some clients read as "${field}".`);
  }
}

function decideMediaType(json: Record<string, unknown>, contentType: string): string {
  const header = (contentType.split(';')[0] ?? '').trim().toLowerCase();
  const own = optionalString(json, 'mediaType');
  if (unspecific.has(header))
    return own ?? (Array.isArray(json.manifests) ? `${oci}index.v1+json` : `${oci}manifest.v1+json`);
  if (own !== undefined && own !== header) {
    throw refuse(`Content-Type says ${header}, the manifest's mediaType says ${own}. Make them agree.`);
  }
  return header;
}

/** A document that is an image to one client and an index to another hides content (CVE-2021-41190). */
function requireOneKind(json: Record<string, unknown>, mediaType: string, kind: 'image' | 'index'): void {
  if (mediaType !== artifactManifest && json.schemaVersion !== 2) throw refuse('schemaVersion is not 2.');
  const isBoth = json.manifests !== undefined && (json.layers !== undefined || json.config !== undefined);
  if (isBoth) throw refuse('It has the fields of an image and of an index at once.');
  if (kind === 'index' && !Array.isArray(json.manifests)) throw refuse('An index needs the list "manifests".');
  if (kind === 'image' && json.manifests !== undefined) throw refuse('An image may not have the list "manifests".');
  if (kind === 'image' && mediaType !== artifactManifest && !isObject(json.config)) {
    throw refuse('An image needs the descriptor "config".');
  }
}

function toDescriptors(json: Record<string, unknown>, field: string): Descriptor[] {
  const list = json[field];
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw refuse(`"${field}" is not a list.`);
  return list.map((entry, index) => toDescriptor(entry, `/${field}/${index}`));
}

function toDescriptor(value: unknown, path: string): Descriptor {
  if (!isObject(value)) throw refuse(`${path} is not a descriptor.`);
  requireOneSpelling(value, descriptorFields);
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== 'string' || !isText(mediaType)) throw refuse(`${path}/mediaType is not a media type.`);
  if (typeof digest !== 'string' || !isWellFormedDigest(digest)) throw refuse(`${path}/digest is not a digest.`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw refuse(`${path}/size is not a size.`);
  return { mediaType, digest, size };
}

function optionalString(json: Record<string, unknown>, field: string): string | undefined {
  const value = json[field];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string' || !isText(value)) throw refuse(`"${field}" is not a media type.`);
  return value;
}

/** Kept in columns and compared: no NUL, which Postgres refuses, no half characters, no end of length. */
function isText(value: string): boolean {
  return isStorable(value) && value.isWellFormed();
}

/** Clients read referrers as one document, in which a value that is no string spoils all others (image-spec, annotations.md). */
function toAnnotations(value: unknown): Record<string, unknown> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw refuse('"annotations" is not an object.');
  const entry = Object.entries(value).find(([, text]) => typeof text !== 'string');
  if (entry) throw refuse(`The annotation ${JSON.stringify(entry[0].slice(0, 100))} is not a string.`);
  return value;
}

function refuse(message: string): Failure {
  return new Failure('invalid', `This manifest cannot be stored. ${message}`, { about: 'manifest' });
}

/** Blobs that must be in the repository. */
export function requiredBlobs(document: ManifestDocument): string[] {
  const own = document.layers.filter((layer) => !foreignLayer.test(layer.mediaType));
  return [...new Set([...(document.config ? [document.config] : []), ...own].map((d) => d.digest))];
}

/** Digests that the manifest keeps alive, each once, in byte order. The subject is not one: it need not exist. */
export function referencedDigests({ config, layers, children }: ManifestDocument): string[] {
  const all = [...(config ? [config] : []), ...layers, ...children];
  return [...new Set(all.map((d) => d.digest))].sort();
}

/** The manifest with its config and layers, each digest once. */
export function imageSize({ config, layers }: ManifestDocument, ownSize: number): number {
  const sizes = new Map([...(config ? [config] : []), ...layers].map((d) => [d.digest, d.size]));
  const sum = [...sizes.values()].reduce((sum, size) => sum + size, ownSize);
  // Clients say what they like of foreign layers; a sum beyond what a number holds would not fit its column either.
  return Math.min(sum, Number.MAX_SAFE_INTEGER);
}

/** What a referrers list shows (distribution-spec, "Listing Referrers"). */
export function effectiveArtifactType({ artifactType, config, kind }: ManifestDocument): string | undefined {
  return artifactType ?? (kind === 'image' ? config?.mediaType : undefined);
}

/** Whether the config is an image configuration, which names platform and build time. */
export function hasImageConfig({ config }: ManifestDocument): boolean {
  return (
    config?.mediaType === `${oci}config.v1+json` ||
    config?.mediaType === 'application/vnd.docker.container.image.v1+json'
  );
}
