import type { ByteRange } from '#core/platform.ts';

/** What a `Range` header asks of a body: all of it, some parts, or nothing that exists. */
export type RangeAnswer = { kind: 'whole' } | { kind: 'parts'; parts: ByteRange[] } | { kind: 'unsatisfiable' };

/** Partial pulls of zstd:chunked layers ask dozens; beyond this the whole body is the shorter answer. */
const partsMax = 64;

/**
 * Reads a `Range` header (RFC 9110, 14.2) for a body of `size` bytes. One answer part per part asked, in order, never
 * merged: containers/image counts on that. A reversed range is unsatisfiable, as the conformance suite wants.
 */
export function parseRange(header: string | undefined, size: number): RangeAnswer {
  const list = /^bytes=(.+)$/.exec(header?.trim() ?? '')?.[1];
  if (list === undefined || size === 0) return { kind: 'whole' };
  const specs = list.split(',').map((spec) => spec.trim());
  if (specs.length > partsMax) return { kind: 'whole' };
  const parts: ByteRange[] = [];
  for (const spec of specs) {
    const match = /^([0-9]*)-([0-9]*)$/.exec(spec);
    if (!match || spec === '-') return { kind: 'whole' };
    const part = toRange(match[1] ?? '', match[2] ?? '', size);
    if (part) parts.push(part);
    else if (specs.length === 1) return { kind: 'unsatisfiable' };
  }
  if (parts.length === 0) return { kind: 'unsatisfiable' };
  // Dropping one of several parts would shift the others: then the whole is safer. Parts that overlap so much that they
  // are more than the whole are somebody's attempt to be sent a blob 64 times.
  const asked = parts.reduce((sum, { start, end }) => sum + end - start + 1, 0);
  return parts.length === specs.length && asked <= size ? { kind: 'parts', parts } : { kind: 'whole' };
}

function toRange(first: string, last: string, size: number): ByteRange | undefined {
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? undefined : { start: size - length, end: size - 1 };
  }
  const start = Number(first);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  return start < size && start <= end && (last === '' || Number(last) >= start) ? { start, end } : undefined;
}

/** Whether an `If-None-Match` or `If-Match` names the digest: quoted or not, weak, in a list, or any (`*`). */
export function matchesEtag(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((tag) => {
    const bare = tag
      .trim()
      .replace(/^W\//, '')
      .replace(/^"(.*)"$/, '$1');
    return bare === digest || bare === '*';
  });
}
