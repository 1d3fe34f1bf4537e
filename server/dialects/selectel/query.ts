// Query parameters as text, one at a time. Unknown ones are ignored, as the vendor does.

import type { FastifyRequest } from 'fastify';
import { Failure } from '#core/failure.ts';
import type { Page, PageInput, Sort } from '#core/page.ts';
import { parseLimit } from '#http/paging.ts';

const limitDefault = 10;
const limitMax = 1000;

export type Query = {
  /** Absent and empty are the same. Throws `invalid` if it is there twice. */
  text(name: string): string | undefined;
  /** One of the words, the first of them when absent. Throws `invalid` that names them. */
  word<const Word extends string>(name: string, words: readonly [Word, ...Word[]]): Word;
  flag(name: string): boolean;
};

export function queryOf(request: FastifyRequest): Query {
  const given = request.query as Readonly<Record<string, unknown>>;
  const text = (name: string) => {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined || value === '') return undefined;
    if (typeof value === 'string') return value;
    throw invalid(name, 'stands there more than once');
  };
  const word = <const Word extends string>(name: string, words: readonly [Word, ...Word[]]): Word => {
    const value = text(name);
    if (value === undefined) return words[0];
    const known = words.find((one) => one === value);
    if (known === undefined) throw invalid(name, `must be one of ${words.join(', ')}`);
    return known;
  };
  return { text, word, flag: (name) => word(name, ['false', 'true']) === 'true' };
}

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

function invalid(name: string, what: string): Failure {
  return new Failure('invalid', `${name} in the query ${what}.`, { fields: { [`/${name}`]: what } });
}
