// Query parameters of the dialects as text, one at a time. Unknown ones are ignored, as the vendors do.

import type { FastifyRequest } from 'fastify';
import { Failure } from '#core/failure.ts';

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

function invalid(name: string, what: string): Failure {
  return new Failure('invalid', `${name} in the query ${what}.`, { fields: { [`/${name}`]: what } });
}
