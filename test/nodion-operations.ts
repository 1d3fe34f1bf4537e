// The operations of Nodion's API: what each answers, field by field, as the vendor's samples have it; nothing more may be
// in an answer, and nothing less.

import { type TProperties, type TSchema, Type } from 'typebox';

export type NodionOperation = {
  title: string;
  /** `{id}`: a connection, `{managed}`: a managed registry without credentials, `{robotic}`: one with them. */
  route: string;
  permissions: readonly string[];
  body: Readonly<Record<string, string>> | undefined;
  status: number;
  answer: TSchema;
};

const exactly = (properties: TProperties) => Type.Object(properties, { additionalProperties: false });
const text = Type.String({ minLength: 1 });
const id = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
const time = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}\\+00:00$' });

const common = {
  id,
  status: Type.Literal('available'),
  name: text,
  hostname: text,
  has_credentials: Type.Boolean(),
  created_at: time,
  updated_at: time,
};
const managed = exactly({ ...common, registry_type: Type.Literal('nodion'), region_id: id });
const external = exactly({
  ...common,
  registry_type: Type.String({ enum: ['docker_hub', 'ghcr', 'custom'] }),
  region_id: Type.Null(),
});
const one = (registry: TSchema) => exactly({ container_registry: registry });
const credentials = exactly({
  id,
  hostname: text,
  username: Type.String({ pattern: '^robot\\$project-[0-9a-f]{8}$' }),
  password: Type.String({ pattern: '^ldg_robot_[\\w-]{43}$' }),
});
const deleted = exactly({ deleted: Type.Literal(true) });

const reads = ['registries:read', 'connections:read'];
const made = { name: 'made', registry_type: 'custom', hostname: 'example.com', username: 'a', password: 'b' };
const path = '/container_registries';

type Row = readonly [string, string, readonly string[], number, TSchema, Readonly<Record<string, string>>?];
const rows: readonly Row[] = [
  [
    'Get container registries',
    `GET ${path}`,
    reads,
    200,
    exactly({ container_registries: Type.Array(Type.Union([managed, external]), { minItems: 1 }) }),
  ],
  ['Get container registry', `GET ${path}/{id}`, reads, 200, one(external)],
  ['Get managed container registry', `GET ${path}/{managed}`, reads, 200, one(managed)],
  ['Create a container registry', `POST ${path}`, ['connections:create'], 200, one(external), made],
  [
    'Update a container registry',
    `PATCH ${path}/{id}`,
    ['connections:update'],
    200,
    one(external),
    { name: 'changed' },
  ],
  ['Delete a container registry', `DELETE ${path}/{id}`, ['connections:delete'], 200, deleted],
  [
    'Generate credentials for a managed registry',
    `POST ${path}/{managed}/credentials`,
    ['tokens:write', 'images:pull', 'images:push'],
    201,
    one(credentials),
  ],
  [
    'Delete the credentials of a managed registry',
    `DELETE ${path}/{robotic}/credentials`,
    ['tokens:write'],
    200,
    deleted,
  ],
];

export const nodionOperations: readonly NodionOperation[] = rows.map(
  ([title, route, permissions, status, answer, body]) => ({ title, route, permissions, status, answer, body }),
);
