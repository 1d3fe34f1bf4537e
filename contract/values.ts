import { type Static, type TObject, type TProperties, type TSchema, Type } from 'typebox';

/** UUIDv7, lower case. */
export const Id = Type.String({ description: 'UUID, lower case; sorts by creation.', examples: [exampleId()] });

/** RFC 3339 in UTC with milliseconds. */
export const Time = Type.String({ format: 'date-time', examples: ['2026-11-21T10:59:10.123Z'] });

export const Bytes = Type.Integer({ minimum: 0, description: 'Bytes.' });

/** What is sent in is bounded and printable here already; what it means is the core's to check. */
export const NameInput = Type.String({ minLength: 1, maxLength: 100 });

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
/** RFC 1123, as Kubernetes has it: of a namespace, and of a Secret. */
export const labelPattern = `^${label}$`;
export const subdomainPattern = `^${label}(?:\\.${label})*$`;

/** What a pattern demands, as the end of a sentence. */
export const patternWords: Readonly<Record<string, string>> = {
  [labelPattern]: 'must be lower-case letters, digits and dashes, with a letter or digit at both ends, at most 63',
  [subdomainPattern]:
    'must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends and beside each dot',
};

export const TimeInput = Type.String({
  format: 'date-time',
  maxLength: 40,
  description: 'RFC 3339 with a zone, for example 2027-01-01T00:00:00Z.',
});

/** One of a list of words. The error names them all. */
export function oneOf<const Word extends string>(words: readonly Word[], options: { description?: string } = {}) {
  return Type.Unsafe<Word>({ type: 'string', enum: [...words], ...options });
}

/** The schema, or null. */
export function nullable<T extends TSchema & { type: string }>(schema: T) {
  return Type.Unsafe<Static<T> | null>({ ...schema, type: [schema.type, 'null'] });
}

/** A list of ids as it is answered, or null. */
export function idsOrNull(description: string) {
  return Type.Unsafe<string[] | null>({ type: ['array', 'null'], items: Id, description });
}

/** A list of ids, or names that stand for them, as it is sent in, or null. */
export function idsInputOrNull(description: string) {
  const items = { type: 'string', minLength: 1, maxLength: 255 };
  return Type.Unsafe<string[] | null>({
    type: ['array', 'null'],
    items,
    minItems: 1,
    maxItems: 1000,
    uniqueItems: true,
    description,
  });
}

/** A schema that the OpenAPI document lists as a component under its `$id`. */
export type Named<Schema extends TSchema = TSchema> = Schema & { $id: string };

/** An object with exactly these fields. */
export function named<Fields extends TProperties>(
  name: string,
  fields: Fields,
  description?: string,
): Named<TObject<Fields>> {
  return Object.assign(Type.Object(fields, { additionalProperties: false, ...(description && { description }) }), {
    $id: name,
  });
}

/** Points to a named schema instead of repeating it. */
export function refer<T extends Named>(schema: T) {
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` });
}

function exampleId(): string {
  return '019d6a3e-7c41-7bd2-9f53-2f1c8e0a4b57';
}
