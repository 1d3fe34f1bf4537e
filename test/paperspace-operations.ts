// The operations of Paperspace's API in both forms: what each answers, field by field, as the two documents say; nothing
// more may be in an answer, and nothing less.

import { type TProperties, type TSchema, Type } from 'typebox';

export type PaperspaceForm = 'form-a' | 'form-b';

export type PaperspaceOperation = {
  form: PaperspaceForm;
  title: string;
  /** Below the API's base, parameters in braces. */
  route: string;
  permission: string;
  /** Of a connection to any registry; undefined: none is sent. */
  body: Readonly<Record<string, string>> | undefined;
  status: number;
  /** undefined: an empty body. */
  answer: TSchema | undefined;
};

export const bases: Readonly<Record<PaperspaceForm, readonly string[]>> = {
  'form-a': ['/paperspace-apisio/v1'],
  'form-b': ['/v1', '/paperspace/v1'],
};

const exactly = (properties: TProperties) => Type.Object(properties, { additionalProperties: false });
const text = Type.String();
const id = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
const time = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$' });
const kind = Type.String({ enum: ['other', 'dockerhub', 'gcr', 'ghcr', 'digitalocean', 'azure'] });

const itemB = exactly({
  dtCreated: time,
  dtModified: time,
  id,
  kind,
  name: text,
  namespace: text,
  url: text,
  username: text,
});
// The document wants a cursor where there are more, and null where there are not.
const pageB = Type.Union([
  exactly({
    hasMore: Type.Literal(true),
    items: Type.Array(itemB, { minItems: 1 }),
    nextPage: Type.String({ pattern: '^[\\w-]{24}$' }),
  }),
  exactly({ hasMore: Type.Literal(false), items: Type.Array(itemB), nextPage: Type.Null() }),
]);
const testB = Type.Union([
  exactly({ success: Type.Literal(true) }),
  exactly({ success: Type.Literal(false), error: Type.String({ minLength: 1 }) }),
]);
const itemA = exactly({ id, name: text, url: text, username: text, teamId: id, dtCreated: time });
const testA = exactly({ success: Type.Boolean(), message: Type.String({ minLength: 1 }) });

const required = { name: 'made', url: 'https://registry.example.com', username: 'alice', password: 'a secret' };
const [all, one] = ['/container-registries', '/container-registries/{id}'];

type Row = readonly [string, string, string, number, TSchema?, Readonly<Record<string, string>>?];
const listOf = (form: PaperspaceForm, rows: readonly Row[]): PaperspaceOperation[] =>
  rows.map(([title, route, permission, status, answer, body]) => ({
    form,
    title,
    route,
    permission: `connections:${permission}`,
    status,
    answer,
    body,
  }));

export const paperspaceOperations: readonly PaperspaceOperation[] = [
  ...listOf('form-b', [
    ['List container registries', `GET ${all}`, 'read', 200, pageB],
    ['Create a container registry', `POST ${all}`, 'create', 200, itemB, { ...required, namespace: '', kind: 'other' }],
    ['Get a container registry', `GET ${one}`, 'read', 200, itemB],
    ['Update a container registry', `PUT ${one}`, 'update', 200, itemB, { namespace: 'changed' }],
    ['Test a container registry connection', `GET ${one}/test-connection`, 'test', 200, testB],
    ['Delete a container registry', `DELETE ${one}`, 'delete', 200, itemB],
  ]),
  ...listOf('form-a', [
    ['List container registries', `GET ${all}`, 'read', 200, Type.Array(itemA)],
    ['Create a container registry', `POST ${all}`, 'create', 201, itemA, required],
    ['Get a container registry', `GET ${one}`, 'read', 200, itemA],
    ['Update a container registry', `PUT ${one}`, 'update', 200, itemA, { ...required, name: 'changed' }],
    ['Test a container registry connection', `GET ${one}/test-connection`, 'test', 200, testA],
    ['Delete a container registry', `DELETE ${one}`, 'delete', 204],
  ]),
];

/** What the vendor's own client takes for a refusal: these keys, these codes, and nothing else. */
export const refusal = Type.Object(
  {
    code: Type.String({
      enum: [
        ...['PARSE_ERROR', 'BAD_REQUEST', 'UNAUTHORIZED', 'FORBIDDEN', 'NOT_FOUND', 'METHOD_NOT_SUPPORTED', 'TIMEOUT'],
        ...['CONFLICT', 'PRECONDITION_FAILED', 'PAYLOAD_TOO_LARGE', 'TOO_MANY_REQUESTS', 'CLIENT_CLOSED_REQUEST'],
        'INTERNAL_SERVER_ERROR',
      ],
    }),
    message: Type.String({ minLength: 10 }),
    issues: Type.Optional(Type.Array(exactly({ message: Type.String({ minLength: 3 }) }), { minItems: 1 })),
  },
  { additionalProperties: false },
);

/** The status that the vendor's client expects with each code. */
export const statusOfCode: Readonly<Record<string, number>> = {
  PARSE_ERROR: 400,
  BAD_REQUEST: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  METHOD_NOT_SUPPORTED: 405,
  CONFLICT: 409,
  PRECONDITION_FAILED: 412,
  PAYLOAD_TOO_LARGE: 413,
  TOO_MANY_REQUESTS: 429,
  INTERNAL_SERVER_ERROR: 500,
};

/** How that client tells a refusal, whatever the status: such a body must never mean success. */
export function looksRefused(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return false;
  return 'code' in body && 'message' in body && Object.keys(body).length <= 3;
}
