// The operations of Selectel's API: what each answers, field by field. Names and types are those of the vendor's samples,
// or of its own client where it publishes none; nothing more may be in an answer, and nothing less.

import { type TProperties, type TSchema, Type } from 'typebox';

export type SelectelOperation = {
  version: 'v1' | 'v2';
  title: string;
  /** Below `/api`, parameters in braces. */
  route: string;
  status: number;
  /** undefined: an empty body. */
  answer: TSchema | undefined;
};

const exactly = (properties: TProperties) => Type.Object(properties, { additionalProperties: false });
const some = (item: TSchema) => Type.Array(item, { minItems: 1 });
const text = Type.String();
const count = Type.Integer({ minimum: 0 });
const id = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
const time = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}Z$' });
const digest = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' });
const oneOf = (...words: string[]) => Type.String({ enum: words });

const registryV2 = { createdAt: time, id, name: text, size: count, status: oneOf('ACTIVE') };
const registryV1 = exactly({
  ...registryV2,
  sizeLimit: count,
  used: Type.Number({ minimum: 0, maximum: 100 }),
});
const cluster = exactly({ id, name: text, pool: text });
const repository = exactly({ name: text, size: count, type: oneOf('docker_image', 'helm_chart'), updatedAt: time });
const image = exactly({
  architecture: text,
  createdAt: time,
  digest,
  layers: some(exactly({ digest, size: count })),
  mediaType: text,
  os: text,
  size: count,
  tags: Type.Array(text),
});
const cleaned = exactly({
  deleted: some(exactly({ digest, tags: Type.Array(text) })),
  failed: some(exactly({ digest: text, error: text, tags: Type.Array(text) })),
});
const garbage = exactly({ sizeNonReferenced: count, sizeSummary: count, sizeUntagged: count });
const secret = Type.String({ pattern: '^ldg_token_[\\w-]{43}$' });
const lifetime = { expireAt: count, expireIn: count };
const tokenV1 = exactly({ ...lifetime, token: secret });
const tokenV2 = {
  createdAt: time,
  expiration: exactly({ expiresAt: time, isSet: Type.Boolean() }),
  id,
  lastUsedAt: Type.Optional(time),
  name: text,
  scope: exactly({ allRegistries: Type.Boolean(), modeRW: Type.Boolean(), registryIds: Type.Array(id) }),
  status: oneOf('active', 'revoked'),
};
const { lastUsedAt: _, ...unused } = tokenV2;

const listOf = (version: 'v1' | 'v2', rows: readonly (readonly [string, string, number, TSchema?])[]) =>
  rows.map(([title, route, status, answer]) => ({ version, title, route, status, answer }));

const [one, repo] = ['/v1/registries/{id}', '/v1/registries/{id}/repositories/{name}'];
const token = '/v2/tokens/{id}';

export const selectelOperations: readonly SelectelOperation[] = [
  ...listOf('v1', [
    ['List registries', 'GET /v1/registries', 200, some(registryV1)],
    ['Create registry', 'POST /v1/registries', 201, registryV1],
    ['Get registry information', `GET ${one}`, 200, registryV1],
    ['Delete registry', `DELETE ${one}`, 204],
    ['List integrated clusters', `GET ${one}/clusters`, 200, exactly({ clusters: some(cluster), totalCount: count })],
    ['Get garbage collection size', `GET ${one}/garbage-collection/size`, 200, garbage],
    ['Initiate garbage collection', `POST ${one}/garbage-collection`, 201],
    ['List repositories', `GET ${one}/repositories`, 200, some(repository)],
    ['Get repository information', `GET ${repo}`, 200, repository],
    ['Delete repository', `DELETE ${repo}`, 204],
    ['Clean up repository', `POST ${repo}/cleanup`, 200, cleaned],
    ['List images', `GET ${repo}/images`, 200, some(image)],
    ['List tags', `GET ${repo}/tags`, 200, some(text)],
    ['List layers', `GET ${repo}/{reference}`, 200, image],
    ['Delete manifest', `DELETE ${repo}/{reference}`, 204],
    ['Create authentication token', 'POST /v1/token', 201, tokenV1],
    ['Get token', 'GET /v1/token/{token}', 200, exactly(lifetime)],
    ['Refresh token', 'POST /v1/token/{token}/refresh', 200, tokenV1],
    ['Revoke token', 'DELETE /v1/token/{token}', 204],
  ]),
  ...listOf('v2', [
    [
      'List registries',
      'GET /v2/registries',
      200,
      exactly({ registries: some(exactly(registryV2)), totalCount: count }),
    ],
    ['List repositories', 'GET /v2/registries/{id}/repositories', 200, page('repositories', repository)],
    ['List images', 'GET /v2/registries/{id}/repositories/{name}/images', 200, page('images', image)],
    ['Create token', 'POST /v2/tokens', 201, exactly({ ...unused, token: secret })],
    ['List tokens', 'GET /v2/tokens', 200, exactly({ tokens: some(exactly(tokenV2)), totalCount: count })],
    ['Get token information', `GET ${token}`, 200, exactly(tokenV2)],
    ['Update token', `PATCH ${token}`, 200, exactly(tokenV2)],
    ['Refresh token', `POST ${token}/refresh`, 200, exactly(tokenV2)],
    ['Regenerate token', `POST ${token}/regenerate`, 200, exactly({ ...tokenV2, token: secret })],
    ['Revoke token', `POST ${token}/revoke`, 204],
    ['Delete token', `DELETE ${token}`, 204],
  ]),
];

function page(name: string, item: TSchema): TSchema {
  return exactly({ filteredCount: count, [name]: some(item), totalCount: count });
}
