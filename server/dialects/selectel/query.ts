import type { Page, PageInput, Sort } from '#core/page.ts';
import { parseLimit } from '#http/paging.ts';
import type { Query } from '#http/query.ts';

const limitDefault = 10;
const limitMax = 1000;

/** `offset` counts things, not pages. A limit above the largest page is lowered to it. */
export function pageOf(query: Query): PageInput & { search: string | undefined } {
  return {
    limit: parseLimit(query.text('limit'), { fallback: limitDefault, max: limitMax }),
    offset: parseLimit(query.text('offset'), {
      name: 'offset',
      fallback: 0,
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
    }),
    search: query.text('search'),
  };
}

/** `sort_field` and `sort_type`; the first field is the default one. */
export function sortOf<const By extends string>(query: Query, fields: readonly [By, ...By[]]): Sort<By> {
  return {
    by: query.word('sort_field', fields),
    descending: query.word('sort_type', ['asc', 'desc']) === 'desc',
  };
}

/** How many a filter leaves. The last page says it itself, and a search that finds little has read everything by then. */
export async function totalOf<T>(
  { offset = 0 }: PageInput,
  { items, nextCursor }: Page<T>,
  count: () => Promise<number>,
): Promise<number> {
  const isLast = nextCursor === null && (items.length > 0 || offset === 0);
  return isLast ? offset + items.length : count();
}
