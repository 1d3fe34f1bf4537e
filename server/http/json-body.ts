import type { FastifyInstance } from 'fastify';
import { Failure } from '#core/failure.ts';

// Deeper than any document of ours; far below what overflows the stack of the recursive code that checks a body.
const maxDepth = 64;

/**
 * JSON as real clients send it: the vendors' and crane always say `application/json`, with nothing behind it as well,
 * which is a request without a body. `__proto__` and its kin are refused by Fastify's parser, deep nesting before it.
 */
export function bindJsonBody(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const text = String(body);
    if (text.trim() === '') return done(null, undefined);
    if (isTooDeep(text)) return done(tooDeep);
    return parse(request, text, (error, value) => (error ? done(notJson) : done(null, value)));
  });
}

const tooDeep = new Failure('invalid', `The JSON is nested too deeply: at most ${maxDepth} levels are taken.`);
const notJson = new Failure('invalid', 'The body is not JSON, or has a key such as __proto__ that is never taken.');

function isTooDeep(text: string): boolean {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (isInString) {
      if (letter === '\\') i++;
      else if (letter === '"') isInString = false;
    } else if (letter === '"') isInString = true;
    else if (letter === '{' || letter === '[') {
      if (++depth > maxDepth) return true;
    } else if (letter === '}' || letter === ']') depth--;
  }
  return false;
}
