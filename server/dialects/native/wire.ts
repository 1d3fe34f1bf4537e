// Between the core's values and the native API's JSON. Pure.

import { createHash } from 'node:crypto';
import { Failure } from '#core/failure.ts';
import type { Page, Position, Sort } from '#core/page.ts';

const limitDefault = 50;
const limitMax = 200;

export const toTime = (ms: number): string => new Date(ms).toISOString();
export const toTimeOrNull = (ms: number | null): string | null => (ms === null ? null : toTime(ms));

/** The schema has checked the form; a leap second passes it and is no time of ours. Throws `invalid`. */
export function fromTime(text: string, field: string): number {
  const ms = Date.parse(text);
  if (!Number.isNaN(ms)) return ms;
  throw new Failure('invalid', `${field} is not a time that can be kept. Use one like 2027-01-01T00:00:00Z.`, {
    fields: { [`/${field}`]: 'not a time' },
  });
}

/** null is no expiry; undefined leaves it as it is. */
export function fromExpiry(expiresAt: string | null | undefined): { at: number } | null | undefined {
  return typeof expiresAt === 'string' ? { at: fromTime(expiresAt, 'expiresAt') } : expiresAt;
}

type PageQuery = { limit?: number; cursor?: string };

/** A limit above the largest page is lowered to it. Throws `invalid` about the cursor. */
export function fromPageQuery({ limit = limitDefault, cursor }: PageQuery): { limit: number; after: Position | null } {
  return { limit: Math.min(limit, limitMax), after: cursor === undefined ? null : fromCursor(cursor) };
}

export function fromSort<By extends string>(sort: By | `-${By}` | undefined): Sort<By> | undefined {
  if (sort === undefined) return undefined;
  const descending = sort.startsWith('-');
  return { by: (descending ? sort.slice(1) : sort) as By, descending };
}

export function toList<Item, Wire>({ items, nextCursor }: Page<Item>, toWire: (item: Item) => Wire) {
  return { items: items.map(toWire), nextCursor: nextCursor === null ? null : toCursor(nextCursor) };
}

/** A place in an order. It grants nothing: whoever makes one up sees what the list shows him anyway. */
export function toCursor(position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

/** Throws `invalid`. Whether it fits the list's order is the core's to say. */
export function fromCursor(text: string): Position {
  const position = readJson(Buffer.from(text, 'base64url').toString('utf8'));
  if (isPosition(position) && toCursor(position) === text) return position;
  throw new Failure('invalid', 'The cursor is not one this server gave. Begin again without it.', {
    about: 'page',
    fields: { '/cursor': 'not a cursor of this server' },
  });
}

function isPosition(value: unknown): value is Position {
  return Array.isArray(value) && value.every((one) => typeof one === 'string' || typeof one === 'number');
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A strong tag of what a PATCH can change. What changes by itself (sizes, last use) would only make updates fail. */
export function toETag(changeable: readonly unknown[]): string {
  return `"${createHash('sha256').update(JSON.stringify(changeable)).digest('base64url').slice(0, 22)}"`;
}

/** Throws `precondition` unless the header is absent, `*`, or lists the tag (RFC 9110, If-Match: strong comparison). */
export function requireMatch(header: string | undefined, tag: string): void {
  if (header === undefined || header.trim() === '*') return;
  if (header.split(',').some((one) => one.trim() === tag)) return;
  throw new Failure('precondition', 'It has changed since you read it. Read it again and repeat what you meant.');
}
