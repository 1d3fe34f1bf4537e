import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { AwsV4Signer } from 'aws4fetch';
import type { UpstreamTarget } from '#core/upstream.ts';
import { answerAsEcr, type EcrAccount, signatureOf } from '#test/servers/ecr.ts';
import { openInternet } from '#test/servers/internet.ts';
import { messageOf, outline, targetOf } from '#test/upstream-checks.ts';
import { ecrEndpoint } from './ecr.ts';
import { openUpstream } from './upstream.ts';

const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const api = 'api.ecr.eu-west-1.amazonaws.com';
const accessKey = { username: 'AKIAEXAMPLE', password: 'wJalr+secret/KEY' };
const hourMs = 3600_000;

/** ECR in one region, with a clock that the test moves. */
async function openEcr(t: TestContext) {
  const internet = openInternet(t);
  const clock = { time: Date.UTC(2026, 5, 1, 12, 30) };
  const now = () => clock.time;
  const account: EcrAccount = {
    host: api,
    region: 'eu-west-1',
    accessKeyId: accessKey.username,
    secretAccessKey: accessKey.password,
    now,
    password: 'session-password',
    expiresAt: clock.time + 12 * hourMs,
  };
  const amazon = await internet.serve(api);
  amazon.before = (seen) => answerAsEcr(seen, account);
  const registry = await internet.serve(host);
  registry.users = new Map([['AWS', account.password]]);
  registry.repositories.set('team/app', ['AWS']);
  const upstream = openUpstream(internet.outbound, { now });
  return { ...upstream, amazon, registry, account, clock };
}

const ecrTarget = (change: Partial<UpstreamTarget> = {}) => ({
  ...targetOf({ host }, { provider: 'ecr', scheme: 'https', ...change }),
  credentials: change.credentials ?? accessKey,
});

test('our side and the scripted one both sign as in the example that AWS published', async () => {
  const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' };
  const url = 'https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08';
  const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
  const where = { region: 'us-east-1', service: 'iam' };
  const expected = '5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7';
  const signer = new AwsV4Signer({
    ...{ ...where, url, headers, secretAccessKey, accessKeyId: 'AKIDEXAMPLE' },
    ...{ datetime: '20150830T123600Z', allHeaders: true },
  });
  assert.equal((await signer.sign()).headers.get('authorization')?.split('Signature=')[1], expected);
  const signed = { ...headers, host: 'iam.amazonaws.com', 'x-amz-date': '20150830T123600Z' };
  const path = '/?Action=ListUsers&Version=2010-05-08';
  assert.equal(signatureOf({ ...where, method: 'GET', path, headers: signed, body: '', secretAccessKey }), expected);
});

test('the token of a registry is asked for in its region', () => {
  const url = (name: string, awsRegion: string | null = null) =>
    ecrEndpoint({ ...ecrTarget(), host: name, awsRegion })?.url.href;
  assert.equal(url(host), `https://${api}/`);
  assert.equal(url(host, 'us-east-1'), `https://${api}/`);
  assert.equal(url('1.dkr.ecr-fips.us-gov-west-1.amazonaws.com'), 'https://ecr-fips.us-gov-west-1.amazonaws.com/');
  assert.equal(url('1.dkr.ecr.cn-north-1.amazonaws.com.cn'), 'https://api.ecr.cn-north-1.amazonaws.com.cn/');
  assert.equal(url('registry.example.com', 'ap-southeast-2'), 'https://api.ecr.ap-southeast-2.amazonaws.com/');
  assert.equal(url('registry.example.com'), undefined);
  assert.equal(url('registry.example.com', 'evil.test/x-1'), undefined);
  assert.equal(url('1.dkr.ecr.evil-.amazonaws.com'), undefined);
});

test('an access key is made into a token, the registry takes it, and never sees the key', async (t) => {
  const { check, amazon, registry } = await openEcr(t);
  const result = await check(ecrTarget({ namespace: 'team/app' }));
  assert.equal(outline(result), 'pppppp', JSON.stringify(result.steps));
  assert.match(messageOf(result, 'token'), /AWS gave a token for the access key/);
  assert.equal(result.credentialsExpireAt, null);
  assert.equal(amazon.seen.length, 1);
  assert.doesNotMatch(JSON.stringify(registry.seen), /AKIAEXAMPLE|wJalr/);
  assert.doesNotMatch(JSON.stringify(amazon.seen), /wJalr/);
});

test('a wrong key, an unknown one and one without the permission are told apart', async (t) => {
  const { check, logIn, amazon, registry } = await openEcr(t);
  const sentence = async (credentials: UpstreamTarget['credentials']) => {
    const result = await check(ecrTarget({ credentials }));
    assert.equal(outline(result), 'ppppfs');
    assert.doesNotMatch(JSON.stringify(result), /session-password/);
    return messageOf(result, 'token');
  };
  assert.match(await sentence({ ...accessKey, password: 'other' }), /secret access key does not belong/);
  assert.match(await sentence({ ...accessKey, username: 'AKIAOTHER' }), /does not know the access key id/);
  assert.match(await sentence({ ...accessKey, username: 'AKIA\u2603\r\nx: y' }), /does not know the access key id/);
  const answering = (body: string, status = 400) => {
    amazon.before = () => ({ status, body });
  };
  answering('{"__type":"com.amazonaws.ecr#AccessDeniedException"}');
  assert.match(await sentence(accessKey), /ecr:GetAuthorizationToken/);
  answering('{"__type":"constructor"}');
  assert.match(await sentence(accessKey), /answered 400/);
  for (const body of [
    '{}',
    '{"authorizationData":[{"authorizationToken":"QVdT","expiresAt":1}]}',
    '[[',
    '{"authorizationData":7}',
  ]) {
    answering(body, 200);
    assert.match(await sentence(accessKey), /with no token/);
  }
  amazon.before = () => ({ status: 307, headers: { location: '/elsewhere' } });
  const requests = amazon.seen.length;
  assert.match(await sentence(accessKey), /redirects/);
  assert.equal(amazon.seen.length, requests + 1, 'a POST follows no redirect');
  assert.deepEqual(await logIn(ecrTarget()), { step: 'token', message: await sentence(accessKey) });
  assert.ok(registry.seen.every(({ headers }) => headers.authorization === undefined));
});

test('a token is kept until an hour before its end, and one request serves all who wait', async (t) => {
  const { logIn, amazon, account, clock } = await openEcr(t);
  const target = ecrTarget();
  const expected = { username: 'AWS', password: 'session-password', expiresAt: account.expiresAt };
  const logins = await Promise.all(Array.from({ length: 20 }, () => logIn(target)));
  for (const login of logins) assert.deepEqual(login, expected);
  assert.equal(amazon.seen.length, 1);
  clock.time += 11 * hourMs - 1;
  assert.deepEqual(await logIn(target), expected);
  assert.equal(amazon.seen.length, 1);
  clock.time += 1;
  Object.assign(account, { password: 'next-password', expiresAt: clock.time + 12 * hourMs });
  assert.deepEqual(await logIn(target), { ...expected, password: 'next-password', expiresAt: account.expiresAt });
  assert.equal(amazon.seen.length, 2);
});

test('another secret has another token, and a failure is kept for a minute only', async (t) => {
  const { logIn, amazon, clock } = await openEcr(t);
  const wrong = ecrTarget({ credentials: { ...accessKey, password: 'wrong' } });
  assert.ok('expiresAt' in (await logIn(ecrTarget())));
  assert.ok('step' in (await logIn(wrong)));
  clock.time += 60_000 - 1;
  assert.ok('step' in (await logIn(wrong)));
  assert.equal(amazon.seen.length, 2);
  clock.time += 1;
  assert.ok('step' in (await logIn(wrong)));
  assert.equal(amazon.seen.length, 3);
});

test('a check that passes ends what a failure is kept for', async (t) => {
  const { check, logIn, account } = await openEcr(t);
  const { accessKeyId } = account;
  account.accessKeyId = 'AKIANEW';
  assert.ok('step' in (await logIn(ecrTarget())));
  account.accessKeyId = accessKeyId;
  assert.ok('step' in (await logIn(ecrTarget())), 'nobody has looked');
  assert.equal(outline(await check(ecrTarget())), 'ppppps');
  assert.ok('expiresAt' in (await logIn(ecrTarget())));
});

// Otherwise a key that was deleted would pass its tests for as long as its last token holds.
test('a check makes a token of its own, whatever is kept', async (t) => {
  const { check, logIn, account } = await openEcr(t);
  await logIn(ecrTarget());
  account.accessKeyId = 'AKIANEW';
  assert.equal(outline(await check(ecrTarget())), 'ppppfs');
});

test('user AWS with a password is passed on as it is, and the password tells its end', async (t) => {
  const { check, logIn, amazon, registry, clock } = await openEcr(t);
  const expiration = Math.floor(clock.time / 1000) + 3600;
  const password = Buffer.from(JSON.stringify({ payload: 'x', type: 'DATA_KEY', expiration })).toString('base64');
  registry.users.set('AWS', password);
  const target = ecrTarget({ credentials: { username: 'AWS', password } });
  const result = await check(target);
  assert.equal(outline(result), 'ppppps');
  assert.equal(result.credentialsExpireAt, expiration * 1000);
  assert.deepEqual(await logIn(target), { username: 'AWS', password, expiresAt: null });
  assert.equal(amazon.seen.length, 0);
});
