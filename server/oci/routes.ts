import { Failure } from '#core/failure.ts';
import { parseRepositoryName, type RepositoryName } from '#core/names.ts';

/** What a path below `/v2` means. A name may itself contain `blobs` or `manifests`, so paths are read from their end. */
export type Route =
  | { kind: 'ping' | 'catalog' | 'extensions' }
  | { kind: 'tags' | 'uploads'; name: RepositoryName }
  | { kind: 'blob' | 'manifest' | 'referrers'; name: RepositoryName; reference: string }
  | { kind: 'upload'; name: RepositoryName; id: string };

export type RouteKind = Route['kind'];

const uploadId = /^[a-zA-Z0-9\-_.=]+$/;

/** Reads a raw request target. undefined: nothing is there. Throws `invalid` about the name. */
export function parseRoute(url: string): Route | undefined {
  const end = url.indexOf('?');
  const path = end < 0 ? url : url.slice(0, end);
  if (path === '/v2' || path === '/v2/') return { kind: 'ping' };
  const segments = path.slice('/v2/'.length).split('/');
  if (segments[0] === '_catalog' && segments.length === 1) return { kind: 'catalog' };
  if (segments.join('/') === '_oci/ext/discover') return { kind: 'extensions' };
  const last = segments.at(-1) ?? '';
  const before = segments.at(-2);
  if (before === 'tags' && last === 'list') return named('tags', segments, 2);
  if (before === 'blobs' && last === 'uploads') return named('uploads', segments, 2);
  if (segments.at(-3) === 'blobs' && before === 'uploads') {
    if (last === '') return named('uploads', segments, 3);
    const id = decodeSegment(last);
    return uploadId.test(id) ? { kind: 'upload', name: nameOf(segments, 3), id } : undefined;
  }
  if (before === 'blobs') return referring('blob', segments);
  if (before === 'manifests') return referring('manifest', segments);
  if (before === 'referrers') return referring('referrers', segments);
  return undefined;
}

function named(kind: 'tags' | 'uploads', segments: string[], suffixLength: number): Route {
  return { kind, name: nameOf(segments, suffixLength) };
}

function referring(kind: 'blob' | 'manifest' | 'referrers', segments: string[]): Route {
  return { kind, name: nameOf(segments, 2), reference: decodeSegment(segments.at(-1) ?? '') };
}

function nameOf(segments: string[], suffixLength: number): RepositoryName {
  const parts = segments.slice(0, -suffixLength).map(decodeSegment);
  // An encoded slash would make two names of one repository.
  if (parts.some((part) => part.includes('/'))) {
    throw new Failure('invalid', 'A repository name may not contain an encoded slash.', { about: 'name' });
  }
  return parseRepositoryName(parts.join('/'));
}

/** Once, never twice. What is not decodable stays as it is and fails its grammar. */
function decodeSegment(segment: string): string {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
