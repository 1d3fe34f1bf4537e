import assert from 'node:assert/strict';
import type { Answer, Ask } from './oci-client.ts';
import { assertHeaders, outcomeOf, type Registry } from './registry-client.ts';

// Upload sessions as tests drive them, and what must be true after.

/** Headers of a session's 202 and 204, and of its 416. */
export function assertSession(answer: Answer, status: number, repository: string, received: number): string {
  assert.equal(outcomeOf(answer), status === 416 ? '416 BLOB_UPLOAD_INVALID' : `${status}`);
  const location = answer.headers.location ?? '';
  const id = /^\/v2\/(.+)\/blobs\/uploads\/([a-zA-Z0-9-]+)$/.exec(location);
  assert.equal(id?.[1], repository);
  assertHeaders(answer, {
    Range: `0-${Math.max(received - 1, 0)}`,
    'Docker-Upload-UUID': id?.[2] ?? '?',
    'Docker-Distribution-Api-Version': 'registry/2.0',
    'OCI-Chunk-Min-Length': undefined,
    'Content-Length': status === 202 ? '0' : status === 204 ? undefined : `${answer.bytes.length}`,
  });
  return location;
}

export function assertCreated(answer: Answer, repository: string, digest: string): void {
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.text, '');
  assertHeaders(answer, {
    Location: `/v2/${repository}/blobs/${digest}`,
    'Docker-Content-Digest': digest,
    'Content-Length': '0',
    Range: undefined,
    'Docker-Upload-UUID': undefined,
  });
}

export const patch = (ask: Ask, location: string, body: string, range?: string) =>
  ask('PATCH', location, { body, headers: range === undefined ? {} : { 'content-range': range } });
export const put = (ask: Ask, location: string, digest: string, body = '', range?: string) =>
  ask('PUT', `${location}?digest=${digest}`, { body, headers: range === undefined ? {} : { 'content-range': range } });
export const read = async (ask: Ask, repository: string, digest: string) =>
  (await ask('GET', `/v2/${repository}/blobs/${digest}`)).text;

/** What the registry `acme` holds and has reserved, in bytes. */
export async function usageOf({ platform }: Pick<Registry, 'platform'>): Promise<{ size: number; reserved: number }> {
  const query = platform.db.selectFrom('registries').select(['size', 'reserved']).where('name', '=', 'acme');
  return { ...(await query.executeTakeFirstOrThrow()) };
}

/** How many objects there are in each state. */
export async function statesOf({ platform }: Pick<Registry, 'platform'>): Promise<Record<string, number>> {
  const rows = await platform.db.selectFrom('objects').select('state').execute();
  return Object.fromEntries(
    Map.groupBy(rows, (row) => row.state)
      .entries()
      .map(([state, some]) => [state, some.length]),
  );
}
