import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forgetActors, updateActor } from '#core/actors.ts';
import { Failure } from '#core/failure.ts';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { signAccessToken } from './access-tokens.ts';
import { authenticate, authenticateForUpload } from './authenticate.ts';

const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const bearer = (token: string) => `Bearer ${token}`;

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const region = platform.config.regions[0]!;
  const team = await seedTeam(platform, 'acme');
  const present = (authorization?: string) => ({ headers: { authorization }, address: '192.0.2.1', region });
  const change = async (values: Parameters<typeof updateActor>[3]) => {
    await updateActor(platform, team.owner.id, team.teamId, values);
    forgetActors(platform);
  };
  const token = async (access: Parameters<typeof signAccessToken>[3] = []) =>
    (await signAccessToken(platform, team.owner, region, access)).token;
  return { platform, region, team, present, change, token };
}

const isRefused = (error: unknown) =>
  error instanceof Failure && error.reason === 'unauthenticated' && error.detail.isBadToken === true;

test('the same secret is the same actor by Basic, by Bearer and by an access token', async (t) => {
  const { platform, team, present, token } = await open(t);
  const shown = [basic('anyone', team.secret), basic('', team.secret), bearer(team.secret), bearer(await token())];
  for (const authorization of shown) {
    const actor = await authenticate(platform, present(authorization));
    assert.equal(actor.id, team.owner.id);
    assert.deepEqual(actor.permissions, team.owner.permissions);
    assert.equal(actor.address, '192.0.2.1');
  }
});

test("an access token narrows its actor and holds leases in its own name; a secret does so in its actor's", async (t) => {
  const { platform, team, present, token } = await open(t);
  const access = [{ type: 'repository', name: 'acme/app', actions: ['pull'] }];
  const [one, two] = [await token(access), await token(access)];
  const actors = await Promise.all([one, two].map((text) => authenticate(platform, present(bearer(text)))));
  assert.deepEqual(actors[0]?.access, access);
  assert.notEqual(actors[0]?.holder, actors[1]?.holder);
  const direct = await authenticate(platform, present(bearer(team.secret)));
  assert.equal(direct.access, null);
  assert.equal(direct.holder, team.owner.id);
});

test('nothing shown is anonymous, and so are empty credentials; an anonymous token is told apart from them', async (t) => {
  const { platform, region, present } = await open(t);
  for (const authorization of [undefined, '', 'Basic Og==', 'basic Og==']) {
    const actor = await authenticate(platform, present(authorization));
    assert.equal(actor.kind, 'anonymous');
    assert.equal(actor.access, null);
  }
  const { token } = await signAccessToken(platform, { id: '', generation: 0 }, region, []);
  const actor = await authenticate(platform, present(bearer(token)));
  assert.equal(actor.kind, 'anonymous');
  assert.deepEqual(actor.access, []);
});

// What would break without this: a client with a mistyped password would be served as anonymous, and never told.
test('what is shown and not good is refused, in the same words whatever is wrong with it', async (t) => {
  const { platform, team, present, change } = await open(t);
  const expired = await seedKey(platform, team.teamId);
  await updateActor(platform, expired.actor.id, team.teamId, { expires_at: platform.now() });
  await change({ revoked_at: platform.now() });
  const refused: Record<string, string> = {
    unknown: basic('owner', 'ldg_key_unknown'),
    revoked: basic('owner', team.secret),
    expired: basic('owner', expired.secret),
    'a user without a password': basic('owner', ''),
    'a password as the user': basic(team.secret, ''),
    'a hash in place of the secret': basic('owner', 'e'.repeat(64)),
    'no colon': `Basic ${Buffer.from(team.secret).toString('base64')}`,
    'not base64': 'Basic ***',
    'another scheme': `Digest ${team.secret}`,
    'no scheme': team.secret,
    'nothing behind the scheme': 'Bearer ',
    'a token that is none': bearer('eyJhbGciOiJub25lIn0.e30.'),
  };
  const messages = new Set<string>();
  for (const [name, authorization] of Object.entries(refused)) {
    await assert.rejects(
      authenticate(platform, present(authorization)),
      (error) => {
        if (!name.startsWith('a token')) messages.add((error as Error).message);
        return isRefused(error);
      },
      name,
    );
  }
  assert.equal(messages.size, 1);
});

test('revoking or regenerating a secret ends its access tokens with the next request', async (t) => {
  const { platform, present, change, token } = await open(t);
  const first = present(bearer(await token()));
  await authenticate(platform, first);
  await change({ generation: 2 });
  await assert.rejects(authenticate(platform, first), isRefused);
  await change({ generation: 1 });
  await authenticate(platform, first);
  await change({ revoked_at: platform.now() });
  await assert.rejects(authenticate(platform, first), isRefused);
});

test('narrowing a secret narrows the access tokens it has already given', async (t) => {
  const { platform, present, change, token } = await open(t);
  const shown = present(bearer(await token([{ type: 'repository', name: 'acme/app', actions: ['pull', 'push'] }])));
  await change({ permissions: JSON.stringify(['images:pull']) });
  assert.deepEqual([...(await authenticate(platform, shown)).permissions], ['images:pull']);
});

test('an expired access token, or one whose secret expired, is let through to an upload and nowhere else', async (t) => {
  const { platform, region, present, change, token } = await open(t);
  const shown = present(bearer(await token()));
  const anonymous = present(bearer((await signAccessToken(platform, { id: '', generation: 0 }, region, [])).token));
  assert.equal((await authenticateForUpload(platform, shown)).isExpired, false);
  await change({ expires_at: platform.now() });
  await assert.rejects(authenticate(platform, shown), isRefused);
  assert.equal((await authenticateForUpload(platform, shown)).isExpired, true);
  await change({ expires_at: null });
  platform.clock.advance(3600_000);
  await assert.rejects(authenticate(platform, shown), isRefused);
  const late = await authenticateForUpload(platform, shown);
  assert.equal(late.isExpired, true);
  assert.notEqual(late.actor.id, '');
  await assert.rejects(authenticateForUpload(platform, anonymous), isRefused);
  platform.clock.advance(24 * 3600_000);
  await assert.rejects(authenticateForUpload(platform, shown), isRefused);
});

test('a secret that expired meanwhile is let through to an upload, a revoked or regenerated one is not', async (t) => {
  const { platform, team, present, change, token } = await open(t);
  const [secret, access] = [present(basic('x', team.secret)), present(bearer(await token()))];
  await change({ expires_at: platform.now() });
  await assert.rejects(authenticate(platform, secret), isRefused);
  assert.equal((await authenticateForUpload(platform, secret)).isExpired, true);
  await change({ revoked_at: platform.now() });
  await assert.rejects(authenticateForUpload(platform, secret), isRefused);
  await assert.rejects(authenticateForUpload(platform, access), isRefused);
  await change({ revoked_at: null, generation: 2 });
  await assert.rejects(authenticateForUpload(platform, access), isRefused);
});

test('an expired secret is not counted as used by being refused', async (t) => {
  const { platform, team, present, change } = await open(t);
  await change({ expires_at: platform.now(), last_used_at: null });
  await assert.rejects(authenticate(platform, present(bearer(team.secret))), isRefused);
  const row = await platform.db.selectFrom('actors').select('last_used_at').where('id', '=', team.owner.id);
  assert.equal((await row.executeTakeFirstOrThrow()).last_used_at, null);
});
