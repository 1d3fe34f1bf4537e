import { isDigest } from './digest.ts';
import { isObject } from './json-text.ts';
import { hasImageConfig, type ManifestDocument } from './manifest-document.ts';
import { isStorable } from './page.ts';
import type { ByteRange, Platform } from './platform.ts';
import { readSteadily } from './steady-reading.ts';

/** Platform and build time of an image; empty and null where the config does not say. */
export type ImageConfig = { os: string; architecture: string; builtAt: number | null };

const unknown: ImageConfig = { os: '', architecture: '', builtAt: null };
/** Real configs are a few KiB; a larger one is not worth reading for two words and a date. */
const configBytesMax = 1024 * 1024;

/** Reads the config blob of an image in this repository. Never refuses: a strange config is the client's own business. */
export async function readImageConfig(
  platform: Platform,
  repositoryId: string,
  document: ManifestDocument,
): Promise<ImageConfig> {
  const config = document.config;
  if (!config || !hasImageConfig(document) || !isDigest(config.digest) || config.size > configBytesMax) return unknown;
  const blob = await platform.db
    .selectFrom('repository_blobs as l')
    .innerJoin('blobs as b', (join) =>
      join.onRef('b.registry_id', '=', 'l.registry_id').onRef('b.digest', '=', 'l.digest'),
    )
    .select(['b.object_key', 'b.size'])
    .where('l.repository_id', '=', repositoryId)
    .where('l.digest', '=', config.digest)
    .executeTakeFirst();
  if (!blob || blob.size > configBytesMax) return unknown;
  const { object_key: key, size } = blob;
  const range = { start: 0, end: size - 1 };
  const opened = await platform.blobs.read(key, range);
  if (!opened) return unknown;
  const chunks: Uint8Array[] = [];
  const reopen = (rest: ByteRange) => platform.blobs.read(key, rest);
  for await (const chunk of readSteadily({ opened, range, reopen })) chunks.push(Uint8Array.from(chunk));
  return parseImageConfig(Buffer.concat(chunks));
}

export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return unknown;
  }
  if (!isObject(json)) return unknown;
  const builtAt = typeof json.created === 'string' ? Date.parse(json.created) : Number.NaN;
  return { os: word(json.os), architecture: word(json.architecture), builtAt: Number.isNaN(builtAt) ? null : builtAt };
}

/** What no database keeps as it is says nothing about a platform either. */
const word = (value: unknown) => (typeof value === 'string' && isStorable(value) && value.length <= 100 ? value : '');
