import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { components } from '#contract/components.ts';
import { patternWords } from '#contract/values.ts';
import { Failure } from '#core/failure.ts';

type Properties = Readonly<Record<string, { type?: string }>>;
type Fault = ReturnType<ReturnType<typeof Compile>['Errors']>[number];

/**
 * Refuses what a schema does not allow and changes nothing: no `"5"` becomes 5 in a body, no unknown field is dropped
 * unseen. Only query parameters, which can be nothing but text, are read as the number or flag their schema asks for.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const target = resolve(schema);
  const read = readers[httpPart ?? ''] ?? asReceived;
  return (received: unknown) => {
    const value = read(received, target);
    const validator = getValidator(target);
    if (!validator.Check(value)) {
      const oversized = findOversized(value, '');
      return { error: oversized ? refuse(httpPart, oversized) : refusal(httpPart, validator.Errors(value)) };
    }
    const pointer = findUnstorable(value, '');
    if (pointer !== undefined) {
      return { error: refuse(httpPart, { [pointer]: 'holds a NUL character or half a surrogate pair' }) };
    }
    return { value };
  };
};

const validators = new WeakMap<TSchema, ReturnType<typeof Compile>>();

/** Compiled when the first value comes: all at once they are a good part of every start. */
function getValidator(schema: TSchema): ReturnType<typeof Compile> {
  const known = validators.get(schema);
  if (known) return known;
  const validator = Compile(schema);
  validators.set(schema, validator);
  return validator;
}

type Reader = (received: unknown, schema: TSchema) => unknown;
const asReceived: Reader = (received) => received;
const readers: Readonly<Record<string, Reader>> = {
  querystring: (received, schema) => fromQuery(schema, received),
  // No body, which Fastify passes as null, says as much as an empty object: what is then missing is named.
  body: (received) => received ?? {},
};

/** Bodies point to a component by its name. */
function resolve(schema: TSchema): TSchema {
  const reference = (schema as { $ref?: string }).$ref;
  if (reference === undefined) return schema;
  const target = components.find((one) => `${one.$id}#` === reference);
  if (!target) throw new Error(`There is no component ${reference}`);
  return target;
}

function fromQuery(schema: TSchema, value: unknown): Record<string, unknown> {
  const { properties = {} } = schema as { properties?: Properties };
  return Object.fromEntries(
    Object.entries(value as Record<string, unknown>).map(([name, text]) => [
      name,
      typeof text === 'string' ? fromText(properties[name]?.type, text) : text,
    ]),
  );
}

function fromText(type: string | undefined, text: string): unknown {
  if (type === 'integer' && /^-?[0-9]{1,30}$/.test(text)) return Number(text);
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

/** Text that Postgres refuses to store, or that would not come back as it was sent. */
function findUnstorable(value: unknown, pointer: string): string | undefined {
  if (typeof value === 'string') return value.includes('\0') || !value.isWellFormed() ? pointer : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  // The schema has bounded the depth already.
  for (const [name, inner] of Object.entries(value)) {
    const found = findUnstorable(inner, `${pointer}/${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

// Longer than any list or object that a schema takes. To describe all that is wrong with one takes the square of its
// length where its items are not unique: a megabyte of them kept the process busy for more than a minute.
const itemsMax = 10_000;
const namesMax = 1000;

function findOversized(value: unknown, pointer: string): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value) && value.length > itemsMax) return { [pointer]: 'has too many items' };
  const entries = Array.isArray(value) ? value.entries() : Object.entries(value);
  let names = 0;
  for (const [name, inner] of entries) {
    if (!Array.isArray(value) && ++names > namesMax) return { [pointer]: 'has too many fields' };
    const found = findOversized(inner, `${pointer}/${name}`);
    if (found) return found;
  }
  return undefined;
}

// A body of a megabyte can hold a hundred thousand faults; nobody reads more than some.
const faultsShown = 20;

function refusal(part: string | undefined, faults: readonly Fault[]): Failure {
  const fields: Record<string, string> = {};
  for (const [pointer, text] of faults.flatMap(describe).slice(0, faultsShown)) fields[pointer] ??= text;
  return refuse(part, fields);
}

function refuse(part: string | undefined, fields: Readonly<Record<string, string>>): Failure {
  const where = part === 'querystring' ? 'query' : part === 'params' ? 'path' : (part ?? 'request');
  const [pointer, text] = Object.entries(fields)[0] ?? ['', 'is not valid'];
  const what = pointer === '' ? `The ${where}` : `${pointer.slice(1)} in the ${where}`;
  return new Failure('invalid', `${what} ${text}.`, { fields });
}

/** The pointer and the sentence's end. Values are not repeated: one of them may be a secret in the wrong field. */
function describe(fault: Fault): [string, string][] {
  const at = fault.instancePath;
  switch (fault.keyword) {
    case 'required':
      return fault.params.requiredProperties.map((name) => [`${at}/${name}`, 'is missing']);
    case 'additionalProperties':
      return fault.params.additionalProperties.map((name) => [`${at}/${escapePointer(name)}`, 'is not known here']);
    case 'boolean':
      return []; // an unknown field, once more
    case 'enum':
      return [[at, `must be one of ${fault.params.allowedValues.join(', ')}`]];
    case 'type':
      return [[at, `must be ${[fault.params.type].flat().map(withArticle).join(' or ')}`]];
    case 'pattern':
      return [[at, patternWords[fault.params.pattern.toString()] ?? fault.message]];
    case 'minLength':
      return [[at, `must have at least ${countOf(fault.params.limit, 'character')}`]];
    case 'maxLength':
      return [[at, `must have at most ${countOf(fault.params.limit, 'character')}`]];
    case 'minItems':
      return [[at, `must have at least ${countOf(fault.params.limit, 'item')}`]];
    case 'maxItems':
      return [[at, `must have at most ${countOf(fault.params.limit, 'item')}`]];
    default:
      return [[at, fault.message]];
  }
}

const countOf = (limit: number | bigint, what: string) => `${limit} ${what}${Number(limit) === 1 ? '' : 's'}`;
const withArticle = (type: string) => (type === 'null' ? type : `${/^[aio]/.test(type) ? 'an' : 'a'} ${type}`);

const escapePointer = (name: string) => name.slice(0, 100).replaceAll('~', '~0').replaceAll('/', '~1');
