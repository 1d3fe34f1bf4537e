import assert from 'node:assert/strict';
import { Compile } from 'typebox/compile';
import { createConnection } from '#core/connections.ts';
import { newId } from '#core/ids.ts';
import type { Scope } from './database.ts';
import { callerOf, type DialectAnswer, openDialect, openSocket } from './dialect-client.ts';
import type { SecurityWorld } from './dialect-security.ts';
import { bases, type PaperspaceForm, paperspaceOperations, refusal, statusOfCode } from './paperspace-operations.ts';
import { seedTeam } from './platform.ts';

export async function openWorld(t: Scope, form: PaperspaceForm): Promise<SecurityWorld> {
  const dialect = await openDialect(t);
  const { app, platform, team } = dialect;
  const [base = ''] = bases[form];
  return {
    ...dialect,
    other: await seedTeam(platform, 'rival'),
    operations: paperspaceOperations
      .filter((one) => one.form === form)
      .map(({ route, permission, body, status }) => ({
        request: route,
        permissions: [permission],
        // Names are taken once.
        get body() {
          return body && { ...body, ...('name' in body && { name: `made ${newId()}` }) };
        },
        status,
      })),
    call: callerOf(app, team.secret, base),
    send: await openSocket(app, team.secret, base),
    make: async ({ owner }) => {
      const secret = { username: 'bob', password: 'planted-password' };
      // Nothing listens there, so a test of it answers at once.
      const input = { ...secret, name: `of ${newId()}`, provider: 'oci', url: 'http://127.0.0.1:1' };
      return { id: (await createConnection(platform, owner, input)).id };
    },
    assertRefused,
  };
}

const check = Compile(refusal);

/** In the form that the vendor's client parses, with the status that belongs to the code. */
export function assertRefused(
  { status, json, text, headers }: DialectAnswer,
  what: string,
  ...statuses: number[]
): void {
  assert.ok(statuses.length === 0 || statuses.includes(status), `${what}: ${status} ${text}`);
  assert.ok(status >= 400 && status < 500, `${what}: ${status} ${text}`);
  // Without this header that client does not look into the body.
  assert.match(headers['content-type'] ?? '', /^application\/json/, what);
  assert.deepEqual(check.Errors(json), [], `${what}: ${text}`);
  assert.equal(statusOfCode[json.code], status, `${what}: ${text}`);
}
