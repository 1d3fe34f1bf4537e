import { Failure } from '#core/failure.ts';

/** Where a list by creation goes on, and how long its pages are. */
export type Cursor = { id: string; size: number };

/**
 * The row's id and the page size, 18 bytes, as 24 characters that need no escaping in a URL. The size is inside because
 * clients repeat only the cursor.
 */
export function toCursor({ id, size }: Cursor): string {
  const bytes = Buffer.alloc(18);
  bytes.write(id.replaceAll('-', ''), 'hex');
  bytes.writeUInt16BE(size, 16);
  return bytes.toString('base64url');
}

/** Throws `invalid`. */
export function parseCursor(text: string): Cursor {
  const bytes = Buffer.from(text, 'base64url');
  // The second test refuses what base64url ignores: a cursor has one spelling only.
  if (bytes.length !== 18 || bytes.toString('base64url') !== text) throw badCursor();
  const hex = bytes.toString('hex', 0, 16);
  const size = bytes.readUInt16BE(16);
  if (size === 0) throw badCursor();
  return { id: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'), size };
}

const badCursor = () =>
  new Failure('invalid', 'The cursor is not one this server gave. Begin again without it.', {
    about: 'page',
    fields: { '/cursor': 'not a cursor of this server' },
  });

type Limit = { name?: string; fallback: number; max: number; min?: number; isMaxStrict?: boolean };

/**
 * A page size from a query; above the maximum it is lowered to it, or refused where that is strict. Throws `invalid`
 * naming what is allowed.
 */
export function parseLimit(
  text: string | undefined,
  { name = 'limit', fallback, max, min = 1, isMaxStrict = false }: Limit,
): number {
  if (text === undefined || text === '') return fallback;
  if (!/^[0-9]+$/.test(text) || Number(text) < min || (isMaxStrict && Number(text) > max)) {
    throw new Failure('invalid', `${name} is a whole number from ${min} to ${max}.`, {
      about: 'page',
      fields: { [`/${name}`]: `a whole number from ${min} to ${max}` },
    });
  }
  return Math.min(Number(text), max);
}
