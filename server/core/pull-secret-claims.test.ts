import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scope } from '#test/database.ts';
import { keysOf, loginOf, openPullSecretWorld, ownHost } from '#test/pull-secret-world.ts';
import { answerAsEcr, type EcrAccount } from '#test/servers/ecr.ts';
import { openInternet } from '#test/servers/internet.ts';
import { openUpstream } from '#upstream/upstream.ts';
import { testConnection } from './connection-tests.ts';
import { updateConnection } from './connections.ts';
import type { Outbound } from './outbound.ts';
import { claimConnections, listUsable, requestLogins } from './pull-secret-claims.ts';

const dayMs = 24 * 60 * 60_000;
const start = Date.UTC(2026, 0, 1);
const ecrHost = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const key = { username: 'AKIAABCDEFGHIJKLMNOP', password: 'a'.repeat(40) };
const ecr = { provider: 'ecr', url: ecrHost, ...key, namespace: 'team' };

/** A scripted AWS that gives tokens for the access key above; `before` runs ahead of each request to anybody. */
async function openEcr(t: Scope, before: () => Promise<unknown> = async () => {}) {
  const { outbound, serve } = openInternet(t);
  const account: EcrAccount = {
    host: 'api.ecr.eu-west-1.amazonaws.com',
    region: 'eu-west-1',
    accessKeyId: key.username,
    secretAccessKey: key.password,
    now: () => start,
    password: 'twelve-hours',
    expiresAt: start + 12 * 60 * 60_000,
  };
  const amazon = await serve(account.host);
  amazon.before = (seen) => answerAsEcr(seen, account);
  const late: Outbound = async (request) => {
    await before();
    return outbound(request);
  };
  const upstream = openUpstream(late, { now: () => start });
  return { ...(await openPullSecretWorld(t, { upstream })), account, amazon };
}

test('ECR gives a token for the access key, and the pull secret ends with it', async (t) => {
  const { connect, read, account } = await openEcr(t);
  await connect({ name: 'aws', ...ecr });
  await connect({ name: 'other' });
  const secret = await read();
  assert.deepEqual(keysOf(secret), [ownHost, ecrHost, 'other.example.com']);
  assert.deepEqual(loginOf(secret, ecrHost), ['AWS', 'twelve-hours']);
  assert.equal(secret.expiresAt, account.expiresAt);
  assert.deepEqual(secret.warnings, []);
  assert.ok(!JSON.stringify(secret).includes(key.password), 'the access key itself is handed out');
});

test('where a provider gives no token, that connection is a warning and the others are handed out', async (t) => {
  const { platform, connect, read, account } = await openEcr(t);
  await connect({ name: 'aws', ...ecr });
  const other = await connect({ name: 'other' });
  account.secretAccessKey = 'replaced in AWS';
  const secret = await read();
  assert.deepEqual(keysOf(secret), [ownHost, 'other.example.com']);
  assert.equal(secret.warnings.length, 1);
  assert.match(secret.warnings[0] ?? '', /^Connection aws is left out: The secret access key does not belong/);
  const uses = await platform.db.selectFrom('connection_uses').select('connection_id').execute();
  assert.deepEqual(
    uses.map((use) => use.connection_id),
    [other.id],
  );
});

// Anybody with a key may fetch pull secrets, and AWS answers so many questions of an account and no more.
test('however often a pull secret is fetched, a key that is dead is asked for once a minute', async (t) => {
  let asked = 0;
  const { connect, read, account } = await openEcr(t, async () => void asked++);
  account.secretAccessKey = 'replaced in AWS';
  for (let i = 0; i < 5; i++) await connect({ name: `aws-${i}`, ...ecr, url: ecrHost.replace('12', `${10 + i}`) });
  const secrets = await Promise.all(Array.from({ length: 10 }, () => read()));
  for (const { warnings } of secrets) assert.equal(warnings.length, 5);
  assert.equal(asked, 5);
});

test('AWS out of reach keeps nothing from the others either', async (t) => {
  const { connect, read, amazon } = await openEcr(t);
  await connect({ name: 'aws', ...ecr });
  await connect({ name: 'other' });
  amazon.before = () => 'cut';
  const secret = await read();
  assert.deepEqual(keysOf(secret), [ownHost, 'other.example.com']);
  assert.match(secret.warnings.join(), /^Connection aws is left out: AWS gave no token/);
});

test('a token of a secret that was replaced while it was fetched is not handed out', async (t) => {
  let meanwhile: () => Promise<unknown> = async () => {};
  const { platform, owner, connect, read } = await openEcr(t, () => meanwhile());
  await connect({ name: 'aws', ...ecr });
  // This would wait for ever if anything were locked while AWS is asked.
  meanwhile = () => updateConnection(platform, owner, { connection: 'aws', password: 'b'.repeat(40) });
  const secret = await read();
  assert.deepEqual(keysOf(secret), [ownHost]);
  assert.match(
    secret.warnings.join(),
    /^Connection aws is left out: its token was not there in time, or it was changed meanwhile.*again/,
  );
});

test('where providers are slow the first are asked, and the others are warnings', async (t) => {
  let asked = 0;
  const { platform, connect, owner, shop } = await openEcr(t, async () => void asked++);
  for (let i = 0; i < 12; i++) await connect({ name: `aws-${i}`, ...ecr, url: ecrHost.replace('12', `${10 + i}`) });
  const rows = await listUsable(platform, owner, shop.id);
  const [none, all] = [await requestLogins(platform, rows, -1), await requestLogins(platform, rows)];
  assert.deepEqual([rows.length, none.size, all.size, asked], [12, 0, 12, 12]);
  const { claims, warnings } = claimConnections(platform, rows, none);
  assert.deepEqual([claims.length, warnings.length], [0, 12]);
});

/** A token that says itself when it ends. */
const jwtUntil = (end: number) =>
  [{ alg: 'none' }, { exp: end / 1000 }, {}]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');

test('it ends with stored credentials that are known to end, and those that have ended are a warning', async (t) => {
  const { outbound, serve } = openInternet(t);
  const registry = await serve('ending.example.com');
  const password = jwtUntil(start + 10 * dayMs);
  registry.users.set('ending-user', password);
  const { platform, owner, connect, read } = await openPullSecretWorld(t, { upstream: openUpstream(outbound) });
  await connect({ name: 'ending', password });
  assert.equal((await read()).expiresAt, start + 90 * dayMs, 'nobody has looked yet');
  const tested = await testConnection(platform, owner, { connection: 'ending' });
  assert.ok(tested.passed, tested.message);
  const secret = await read();
  assert.equal(secret.expiresAt, start + 10 * dayMs);
  assert.deepEqual(secret.warnings, []);
  registry.users.clear();
  assert.equal((await testConnection(platform, owner, { connection: 'ending' })).passed, false);
  assert.equal((await read()).expiresAt, start + 10 * dayMs, 'what refuses a secret does not make it last');
  platform.clock.advance(10 * dayMs);
  const late = await read();
  assert.equal(late.expiresAt, start + 90 * dayMs);
  assert.match(late.warnings.join(), /ending has stored ended at 2026-01-11T00:00:00\.000Z/);
  await updateConnection(platform, owner, { connection: 'ending', password: 'a new one' });
  assert.deepEqual((await read()).warnings, [], 'what was known of the old secret is said of the new one');
});
