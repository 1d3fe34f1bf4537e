// What holds for every operation of a vendor's API, whatever its form: who may ask, what is hidden, what hostile text does.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSecret } from '#core/ids.ts';
import { permissions } from '#core/permissions.ts';
import { createToken } from '#core/tokens.ts';
import type { Scope } from './database.ts';
import type { Call, Dialect, DialectAnswer } from './dialect-client.ts';
import { type SeededTeam, seedKey } from './platform.ts';

export type Operation = {
  /** `GET /things/{id}`: behind the API's base, parameters in braces. */
  request: string;
  permissions: readonly string[];
  body?: object | undefined;
  status: number;
};

/** Ids by the names of parameters. */
export type Holdings = Readonly<Record<string, string>>;

export type SecurityWorld = Dialect & {
  operations: readonly Operation[];
  call: Call;
  /** On a socket, with the request line as it is written. */
  send: Call;
  other: SeededTeam;
  /** Things that nothing has been done to yet. */
  make: (team: SeededTeam) => Promise<Holdings>;
  assertRefused: (answer: DialectAnswer, what: string, ...statuses: number[]) => void;
};

export const never = '01a00000-0000-7000-8000-000000000000';

export const requestFor = ({ request }: Operation, holdings: Holdings): string =>
  request.replaceAll(/\{(\w+)\}/g, (_, name: string) => holdings[name] ?? '');

export const parametersOf = ({ request }: Operation) => [...request.matchAll(/\{(\w+)\}/g)].map((one) => one[1] ?? '');

/** All that a refused request could have changed. */
export async function snapshot({ platform }: Dialect): Promise<string> {
  const rows: unknown[] = [];
  for (const table of [
    'connections',
    'connection_projects',
    'connection_tests',
    'registries',
    'audit_events',
  ] as const) {
    rows.push((await platform.db.selectFrom(table).selectAll().execute()).map((row) => JSON.stringify(row)).sort());
  }
  const actors = await platform.db
    .selectFrom('actors')
    .select(['id', 'revoked_at'])
    .where('kind', '=', 'robot')
    .execute();
  return JSON.stringify([...rows, actors]);
}

/** A lookup by id that forgets the team would open one team's things to all. */
async function assertHidesOtherTeams(world: SecurityWorld): Promise<void> {
  const { operations, call, team, other, make, assertRefused } = world;
  const [mine, theirs] = [await make(team), await make(other)];
  const before = await snapshot(world);
  for (const operation of operations) {
    for (const name of parametersOf(operation)) {
      const unknown = await call(requestFor(operation, { ...mine, [name]: never }), { body: operation.body });
      assertRefused(unknown, operation.request, 404);
      const asked = requestFor(operation, { ...mine, [name]: theirs[name] ?? '' });
      const answer = await call(asked, { body: operation.body });
      assert.deepEqual([answer.status, answer.text], [404, unknown.text], operation.request);
    }
  }
  assert.equal(await snapshot(world), before);
}

/** A key made for one thing must not open another. */
async function assertTakesPermissions(world: SecurityWorld): Promise<void> {
  const { operations, call, platform, team, make, assertRefused } = world;
  for (const operation of operations) {
    const { permissions: needed, body, status } = operation;
    const asked = requestFor(operation, await make(team));
    for (const permission of needed) {
      const others = permissions.filter((one) => one !== permission);
      const { secret: key } = await seedKey(platform, team.teamId, { permissions: others });
      const before = await snapshot(world);
      assertRefused(await call(asked, { key, body }), `${asked} without ${permission}`, 403);
      assert.equal(await snapshot(world), before, asked);
    }
    const { secret: key } = await seedKey(platform, team.teamId, { permissions: [...needed] });
    const answer = await call(asked, { key, body });
    assert.equal(answer.status, status, `${asked} with ${needed}: ${answer.text}`);
  }
}

/** Who has no API key learns nothing, whatever else is wrong with the request. */
async function assertTakesKeys(world: SecurityWorld): Promise<void> {
  const { operations, call, platform, team, make, assertRefused } = world;
  const mine = await make(team);
  const { secret: token } = await createToken(platform, team.owner, { mode: 'rw', registryIds: null });
  const expired = await seedKey(platform, team.teamId);
  await platform.db.updateTable('actors').set({ expires_at: 1 }).where('id', '=', expired.actor.id).execute();
  platform.clock.advance(10_000);
  for (const key of ['', token, newSecret('key'), expired.secret, 'x', `x${team.secret}`, 'x'.repeat(9000)]) {
    for (const operation of operations) {
      const asked = requestFor(operation, mine);
      const answer = await call(asked, { key, body: operation.body && { name: 5 } });
      assertRefused(answer, `${asked} with ${key.slice(0, 12)}`, 401);
      assert.equal(answer.headers['www-authenticate'], 'Bearer realm="lading"');
      assert.ok(!answer.text.includes(key) || key.length < 2, 'a secret is repeated');
      if (key === token) assert.match(answer.text, /registry token, not an API key/);
    }
    const auth = { 'x-auth-token': team.secret };
    const [first] = operations;
    if (first) assertRefused(await call(requestFor(first, mine), { key: '', headers: auth }), 'X-Auth-Token', 401);
  }
}

const segments = [
  ...['..', '%2e%2e', '%2e%2e%2f%2e%2e%2fetc%2fpasswd', '%2f', '%00', 'a%00b', '%ff%fe', '%', '%zz', '%ED%A0%80'],
  ...['%F0%9F%92%A9', '%CE%B1', "'%20or%20'1'='1", '%22', '%5c', '%25', '_', '-1', 'null', '__proto__'],
  ...['constructor', 'undefined', never, never.toUpperCase(), 'x'.repeat(300), 'x'.repeat(5000)],
];

async function assertNoSegmentHurts(world: SecurityWorld): Promise<void> {
  const { operations, send, team, make, assertRefused } = world;
  const mine = await make(team);
  for (const operation of operations) {
    for (const name of parametersOf(operation)) {
      for (const segment of segments) {
        const asked = requestFor(operation, { ...mine, [name]: segment });
        const answer = await send(asked, { body: operation.body });
        // Climbing out of the folder leaves the API's own paths, and only what is no URL at all is malformed.
        assertRefused(
          answer,
          asked.slice(0, 90),
          ...(/^(%(ff%fe|zz|ED%A0%80)?|x{5000})$/.test(segment) ? [400] : [404, 405]),
        );
      }
    }
  }
}

export const wrongValues: readonly unknown[] = [
  ...[0, -1, 1.5, 1e308, true, {}, { toString: 'x' }, [], [[]], ['x'], [null], 'a\0b', '\ud800', 'a\nb'],
  ...['x'.repeat(70_000), '\u202eabc', { $ne: null }],
];

/** A field may take what it can make sense of; what it cannot is refused and changes nothing. */
async function assertNoValueHurts(world: SecurityWorld): Promise<void> {
  const { operations, send, team, make, assertRefused } = world;
  for (const operation of operations) {
    if (!operation.body) continue;
    for (const field of Object.keys(operation.body)) {
      for (const value of wrongValues) {
        const mine = await make(team);
        const before = await snapshot(world);
        const answer = await send(requestFor(operation, mine), { body: { ...operation.body, [field]: value } });
        const what = `${operation.request} ${field} ${JSON.stringify(value).slice(0, 40)}`;
        if (typeof value === 'string' && answer.status === operation.status) continue;
        assertRefused(answer, what, 400, 413);
        assert.equal(await snapshot(world), before, what);
      }
    }
  }
}

const documents = [
  ...['null', '[]', '"x"', '1', 'true', '{', '{"name":', '{"a":1}{', '{"__proto__":{"a":1}}', ''],
  ...['['.repeat(100_000), `${'{"name":'.repeat(1000)}1${'}'.repeat(1000)}`, '{"name":"\\u0000"}'],
];

export async function assertNoDocumentHurts(world: SecurityWorld): Promise<void> {
  const { operations, send, team, make, assertRefused } = world;
  const mine = await make(team);
  for (const operation of operations) {
    if (!operation.body) continue;
    const asked = requestFor(operation, mine);
    for (const body of documents) assertRefused(await send(asked, { body }), `${asked} ${body.slice(0, 40)}`, 400);
    const large = `{"name":"${'x'.repeat(10_000_000)}"}`;
    assertRefused(await send(asked, { body: large, headers: { connection: 'close' } }), asked, 413);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'x']) {
      const headers = { 'content-type': type };
      assertRefused(await send(asked, { body: '{"name":"ok"}', headers }), `${asked} ${type}`, 400);
    }
  }
}

/** The vendors' clients always say that they send JSON. */
async function assertTakesEmptyBodies(world: SecurityWorld): Promise<void> {
  const { operations, call, team, make } = world;
  for (const operation of operations) {
    if (operation.body) continue;
    const headers = { 'content-type': 'application/json' };
    const answer = await call(requestFor(operation, await make(team)), { headers });
    assert.equal(answer.status, operation.status, `${operation.request}: ${answer.text}`);
  }
}

/** All of the above but bodies that are no JSON object, which some APIs take for none. */
export function testOperations(name: string, open: (t: Scope) => Promise<SecurityWorld>): void {
  const it = (guarantee: string, holds: (world: SecurityWorld) => Promise<void>) =>
    test(`${name}: ${guarantee}`, async (t) => holds(await open(t)));
  it('what another team has is not found, in the words for what never was', assertHidesOtherTeams);
  it('each operation takes its permissions, and no others will do', assertTakesPermissions);
  it('without an API key nothing is said', assertTakesKeys);
  it('no path segment is more than not found', assertNoSegmentHurts);
  it('no value of a body is more than invalid', assertNoValueHurts);
  it('a media type without a body is no fault', assertTakesEmptyBodies);
}
