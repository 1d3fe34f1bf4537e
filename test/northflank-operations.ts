// What Northflank's operations answer, field by field: the list as the vendor's page has it, the others as the typings of
// both generations of its client. Nothing more may be in an answer, and nothing less.

import { type TProperties, type TSchema, Type } from 'typebox';

export type NorthflankOperation = { title: string; route: string; answer: TSchema };

const exactly = (properties: TProperties) => Type.Object(properties, { additionalProperties: false });
const text = Type.String();
const slug = Type.String({ pattern: '^[a-zA-Z](-?[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*)?$' });
const time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' });
const providers = ['dockerhub', 'gcr', 'gcr-eu', 'gcr-us', 'gitlab', 'github', 'custom'];

/** The vendor's page. */
const listed = {
  id: slug,
  name: text,
  description: text,
  restrictions: exactly({ restricted: Type.Boolean(), projects: Type.Array(slug) }),
  provider: Type.String({ enum: providers }),
};
const lastPage = exactly({ hasNextPage: Type.Literal(false), count: Type.Integer({ minimum: 0 }) });
const pageBefore = exactly({
  hasNextPage: Type.Literal(true),
  cursor: Type.String({ pattern: '^[A-Za-z0-9_-]{24}$' }),
  count: Type.Integer({ minimum: 1 }),
});
const list = exactly({
  data: exactly({ credentials: Type.Array(exactly(listed), { minItems: 1 }) }),
  pagination: Type.Union([lastPage, pageBefore]),
});

/** The newer generation's fields, which are optional there. */
const added = {
  ...listed,
  registryUrl: text,
  aws: Type.Optional(exactly({ region: text })),
  createdAt: time,
  updatedAt: time,
};
const credentials = exactly({ username: text, password: text, scope: exactly({ pull: Type.Boolean() }) });
const auths = Type.Record(text, exactly({ auth: text }), { minProperties: 1 });

const one = '/integrations/registries/{id}';
const all = '/integrations/registries';
const add = exactly({ data: exactly(added) });
const get = exactly({ data: exactly({ ...added, credentials }) });
const nothing = exactly({ data: exactly({}) });

/** Titles as in the examples; routes below the base. Every one answers 200. */
export const northflankOperations: readonly NorthflankOperation[] = [
  { title: 'Log in', route: 'GET /login', answer: nothing },
  { title: 'Add registry', route: `POST ${all}`, answer: add },
  { title: 'Add registry with a key file', route: `POST ${all}`, answer: add },
  { title: 'Add registry with Docker auths', route: `POST ${all}`, answer: add },
  { title: 'Add registry, newer generation', route: `POST ${all}`, answer: add },
  { title: 'List registries', route: `GET ${all}`, answer: list },
  { title: 'List registries by page number', route: `GET ${all}`, answer: list },
  { title: 'List registries of the team', route: `GET /teams/{team}${all}`, answer: list },
  { title: 'Get registry', route: `GET ${one}`, answer: get },
  {
    title: 'Get registry with Docker auths',
    route: `GET ${one}`,
    answer: exactly({ data: exactly({ ...added, auths }) }),
  },
  { title: 'Get registry, newer generation', route: `GET /teams/{team}${one}`, answer: get },
  { title: 'Update registry', route: `PATCH ${one}`, answer: nothing },
  { title: 'Update registry, older generation', route: `POST ${one}/modify`, answer: nothing },
  { title: 'Delete registry', route: `DELETE ${one}`, answer: nothing },
];
