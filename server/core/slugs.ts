import { Failure, type Subject } from './failure.ts';
import { isUuid } from './names.ts';

const nameLengthMax = 100;
/** Leaves room for the suffix of a managed registry's name (63 characters at most). */
const slugLengthMax = 40;

// Characters that a person cannot see in a list: controls, line and paragraph separators, direction marks.
const invisible = /[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** A name given by a person: trimmed, 1 to 100 characters, all of them visible. Throws `invalid`. */
export function parseDisplayName(text: string, about: Subject): string {
  const name = text.trim();
  if (name !== '' && name.length <= nameLengthMax && name.isWellFormed() && !invisible.test(name)) return name;
  throw new Failure('invalid', `A name has 1 to ${nameLengthMax} characters and no control characters.`, {
    about,
    fields: { '/name': `1 to ${nameLengthMax} characters, no control characters` },
  });
}

/** The slug of a name: `Über uns (2)` → `uber-uns-2`. Throws `invalid` where nothing is left, or where it looks like an id. */
export function toSlug(name: string, about: Subject): string {
  const words =
    name
      .normalize('NFKD')
      .replace(/\p{M}/gu, '')
      .toLowerCase()
      .match(/[a-z0-9]+/g) ?? [];
  const slug = words.join('-').slice(0, slugLengthMax).replace(/-$/, '');
  if (slug !== '' && !isUuid(slug)) return slug;
  throw new Failure(
    'invalid',
    `${JSON.stringify(name)} gives no slug. Use a name with Latin letters or digits, not in the form of a UUID.`,
    { about, fields: { '/name': 'needs Latin letters or digits, not in the form of a UUID' } },
  );
}
