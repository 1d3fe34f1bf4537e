import { Type } from 'typebox';
import { type Named, named, nullable, oneOf, refer } from './values.ts';

/** Query fields of every list. A limit above the largest page is lowered to it. */
export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, default: 50, description: 'Items a page: 50, at most 200.' })),
  cursor: Type.Optional(
    Type.String({ maxLength: 2048, description: 'The nextCursor of the page before. Keep the other parameters.' }),
  ),
};

export const searchQuery = {
  search: Type.Optional(Type.String({ maxLength: 255, description: 'A part of the name, in any case.' })),
};

export const sortQuery = {
  sort: Type.Optional(oneOf(['name', '-name'], { description: 'By name, upwards or downwards.' })),
};

/** `{items, nextCursor}`; the cursor is null on the last page. */
export function listOf<T extends Named>(item: T) {
  return named(`${item.$id}List`, {
    items: Type.Array(refer(item)),
    nextCursor: nullable(Type.String({ description: 'The next cursor; null on the last page.' })),
  });
}
