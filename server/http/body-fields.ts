// Fields of the JSON bodies that dialects take. Unknown ones are ignored: real clients send extras.

import { Failure } from '#core/failure.ts';

type Check<T> = { is: (value: unknown) => value is T; what: string };

export const isText: Check<string> = { is: (value) => typeof value === 'string', what: 'a text' };
export const isFlag: Check<boolean> = { is: (value) => typeof value === 'boolean', what: 'true or false' };
export const isTexts: Check<string[]> = {
  is: (value) => Array.isArray(value) && value.every(isText.is),
  what: 'a list of texts',
};

/** The field's value; undefined if it or the body is absent or null. Throws `invalid` for a value of another kind. */
export function fieldOf<T>(body: unknown, name: string, { is, what }: Check<T>): T | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body !== 'object' || Array.isArray(body)) {
    throw new Failure('invalid', 'The body must be a JSON object.', { fields: { '': 'not an object' } });
  }
  const value: unknown = Object.hasOwn(body, name) ? body[name as keyof typeof body] : undefined;
  if (value === undefined || value === null) return undefined;
  if (is(value)) return value;
  throw new Failure('invalid', `${name} must be ${what}.`, { fields: { [`/${name}`]: `not ${what}` } });
}
