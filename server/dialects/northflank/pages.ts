import type { PageInput, Position } from '#core/page.ts';
import { parseCursor, parseLimit, toCursor } from '#http/paging.ts';
import type { Query } from '#http/query.ts';

const sizeDefault = 50;
const sizeMax = 100;
/** What rows are skipped by must stay a whole number that JavaScript keeps. */
const pageMax = Math.floor(Number.MAX_SAFE_INTEGER / sizeMax);

/**
 * `cursor`, or `page` counted from 1; of both the cursor wins. It keeps the size of the page that it ended, because
 * clients repeat only the cursor.
 */
export function pageOf(query: Query): PageInput {
  const size = parseLimit(query.text('per_page'), { name: 'per_page', fallback: 0, max: sizeMax });
  const page = parseLimit(query.text('page'), { name: 'page', fallback: 1, max: pageMax });
  const text = query.text('cursor');
  if (text === undefined) {
    const limit = size || sizeDefault;
    return { limit, offset: (page - 1) * limit };
  }
  const cursor = parseCursor(text);
  return { limit: size || Math.min(cursor.size, sizeMax), after: [cursor.id] };
}

/** No `cursor` on the last page, not even null: the vendor's client asks on while there is one. */
export function toPagination(count: number, next: Position | null, size: number) {
  if (next === null) return { hasNextPage: false, count };
  return { hasNextPage: true, cursor: toCursor({ id: String(next[0]), size }), count };
}
