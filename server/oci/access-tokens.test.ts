import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { SignJWT, UnsecuredJWT } from 'jose';
import type { Access } from '#core/actors.ts';
import type { Region } from '#core/platform.ts';
import { getSigningKey } from '#core/signing-keys.ts';
import { openTestPlatform } from '#test/platform.ts';
import { type Claims, isAccessToken, lifeSeconds, signAccessToken, verifyAccessToken } from './access-tokens.ts';

const alice = { id: 'alice', generation: 3 };
const access: Access[] = [{ type: 'repository', name: 'default/app', actions: ['pull'] }];

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const region = platform.config.regions[0]!;
  const key = await getSigningKey(platform);
  const iat = platform.now() / 1000;
  const claims: Claims = {
    iss: 'lading',
    sub: alice.id,
    aud: region.host,
    iat,
    nbf: iat - 60,
    exp: iat + 300,
    jti: 'one',
    gen: alice.generation,
    access,
  };
  /** A token of our making but for what the test changes. */
  const sign = (changed: object, header: object = {}, by: KeyObject | Uint8Array = key.privateKey) =>
    new SignJWT({ ...claims, ...changed })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: key.id, ...header })
      .sign(by);
  return { platform, region, key, claims, sign };
}

test('a token says who asked, in which generation, and what was granted, until its time is over', async (t) => {
  const { platform, region } = await open(t);
  const signed = await signAccessToken(platform, alice, region, access);
  assert.equal(signed.expiresInSeconds, 300);
  const verified = await verifyAccessToken(platform, region, signed.token);
  assert.ok(verified && !verified.isExpired);
  const { sub, gen, aud, iat, nbf, exp } = verified.claims;
  assert.deepEqual({ sub, gen, aud }, { sub: 'alice', gen: 3, aud: 'localhost:8080' });
  assert.deepEqual([nbf - iat, exp - iat], [-60, 300]);
  assert.deepEqual(verified.claims.access, access);
  const again = await signAccessToken(platform, alice, region, access);
  assert.notEqual((await verifyAccessToken(platform, region, again.token))?.claims.jti, verified.claims.jti);
});

test('a verified token expires although its signature is remembered: a minute of leeway, a day as expired, then never', async (t) => {
  const { platform, region } = await open(t);
  const { token } = await signAccessToken(platform, alice, region, access);
  const state = async () => (await verifyAccessToken(platform, region, token))?.isExpired;
  assert.equal(await state(), false);
  platform.clock.advance((lifeSeconds + 59) * 1000);
  assert.equal(await state(), false);
  platform.clock.advance(1000);
  assert.equal(await state(), true);
  platform.clock.advance(24 * 3600_000 - 60_000);
  assert.equal(await state(), true);
  platform.clock.advance(1000);
  assert.equal(await state(), undefined);
});

test('a token is for the host it was asked from, also once its signature is remembered', async (t) => {
  const { platform, region } = await open(t);
  const other: Region = { ...region, host: 'eu.example.com' };
  const { token } = await signAccessToken(platform, alice, region, access);
  assert.ok(await verifyAccessToken(platform, region, token));
  assert.equal(await verifyAccessToken(platform, other, token), undefined);
});

// What would break without this: whoever reads /token/jwks.json, or brings a key along, could push to every registry.
test('no forged token is taken', async (t) => {
  const { platform, region, key, claims, sign } = await open(t);
  assert.ok(await verifyAccessToken(platform, region, await sign({})), 'the unchanged token must be good');
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ownJwk = own.publicKey.export({ format: 'jwk' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const publicBytes = (format: 'pem' | 'der') =>
    Buffer.from(key.publicKey.export({ type: 'spki', format: format as 'der' }));
  const now = claims.iat;
  const good = await sign({});
  const [head = '', body = '', signature = ''] = good.split('.');
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const forged: Record<string, string> = {
    'alg none': new UnsecuredJWT({ ...claims }).encode(),
    'alg none with our kid': `${encode({ alg: 'none', typ: 'JWT', kid: key.id })}.${body}.`,
    'alg None, in other case': `${encode({ alg: 'nOnE', typ: 'JWT', kid: key.id })}.${body}.${signature}`,
    'HS256 with the public key as PEM': await sign({}, { alg: 'HS256' }, publicBytes('pem')),
    'HS256 with the public key as DER': await sign({}, { alg: 'HS256' }, publicBytes('der')),
    'HS256 with the published JWK': await sign({}, { alg: 'HS256' }, Buffer.from(JSON.stringify(key.publicJwk))),
    'RS256 under our kid': await sign({}, { alg: 'RS256' }, rsa.privateKey),
    'another key under our kid': await sign({}, {}, own.privateKey),
    'another key under its own kid': await sign({}, { kid: 'own' }, own.privateKey),
    'a key in the header': await sign({}, { jwk: ownJwk }, own.privateKey),
    'a key in the header, without kid': await sign({}, { jwk: ownJwk, kid: undefined }, own.privateKey),
    'a key set elsewhere': await sign({}, { jku: 'http://127.0.0.1:1/jwks.json', kid: 'own' }, own.privateKey),
    'a certificate in the header': await sign({}, { x5c: ['MIIB'], kid: undefined }, own.privateKey),
    'no kid': await sign({}, { kid: undefined }),
    'a kid that is not a text': await sign({}, { kid: { $ne: '' } }),
    'a kid out of SQL': await sign({}, { kid: "' or '1'='1" }),
    'a critical extension that we do not know': `${encode({ alg: 'ES256', typ: 'JWT', kid: key.id, crit: ['x'], x: 1 })}.${body}.${signature}`,
    'another type': await sign({}, { typ: 'at+jwt' }),
    'another issuer': await sign({ iss: 'someone' }),
    'another audience': await sign({ aud: 'eu.example.com' }),
    'a list of audiences': await sign({ aud: [region.host, 'eu.example.com'] }),
    'not valid yet': await sign({ nbf: now + 61 }),
    'expired more than a day ago': await sign({ exp: now - 24 * 3600 - 1 }),
    'no expiry': await sign({ exp: undefined }),
    'an expiry that is a text': await sign({ exp: '9999999999' }),
    'no subject': await sign({ sub: undefined }),
    'no generation': await sign({ gen: undefined }),
    'no access': await sign({ access: undefined }),
    'a changed payload': `${head}.${encode({ ...claims, access: [{ ...access[0], actions: ['push'] }] })}.${signature}`,
    'a changed header': `${encode({ alg: 'ES256', typ: 'JWT', kid: key.id, x: 1 })}.${body}.${signature}`,
    'no signature': `${head}.${body}.`,
    'a signature of zeros': `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`,
    'something behind it': `${good}.x`,
    'more than 8 KiB': await sign({ filler: 'x'.repeat(8192) }),
  };
  for (const [name, token] of Object.entries(forged)) {
    assert.equal(await verifyAccessToken(platform, region, token), undefined, name);
  }
});

test('a token that expired a moment ago is expired, not unknown; one for later is good within a minute', async (t) => {
  const { platform, region, claims, sign } = await open(t);
  const expired = await verifyAccessToken(platform, region, await sign({ exp: claims.iat - 61 }));
  assert.equal(expired?.isExpired, true);
  const early = await verifyAccessToken(platform, region, await sign({ nbf: claims.iat + 60 }));
  assert.equal(early?.isExpired, false);
});

test('no text at all makes the check throw', async (t) => {
  const { platform, region, sign } = await open(t);
  const good = await sign({});
  const bytes = (token: string) => Buffer.from(token.split('.')[2] ?? '', 'base64url');
  // The last character of a signature holds bits that mean nothing: such a change is none.
  const isChanged = (token: string) => !bytes(token).equals(bytes(good)) || !token.startsWith(good.slice(0, -86));
  const mutated = fc
    .tuple(fc.nat(good.length - 1), fc.string({ maxLength: 3 }))
    .map(([at, put]) => good.slice(0, at) + put + good.slice(at + put.length))
    .filter(isChanged);
  const parts = fc.array(fc.base64String(), { minLength: 3, maxLength: 3 }).map((three) => three.join('.'));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), parts, mutated), async (token) => {
      assert.equal(await verifyAccessToken(platform, region, token), undefined);
    }),
    { numRuns: 300 },
  );
});

test('a token stays below 8 KiB however much is granted, and what did not fit is not promised', async (t) => {
  const { platform, region } = await open(t);
  const many = Array.from({ length: 64 }, (_, i) => ({
    type: 'repository',
    name: `default/${'n'.repeat(240)}${i}`,
    actions: ['pull', 'push', 'delete'],
  }));
  const { token, access: granted } = await signAccessToken(platform, alice, region, many);
  assert.ok(token.length < 8192, `${token.length}`);
  assert.ok(granted.length > 10 && granted.length < 64);
  assert.deepEqual((await verifyAccessToken(platform, region, token))?.claims.access, granted);
});

test('a token ends no later than the secret or the token that it was got with', async (t) => {
  const { platform, region } = await open(t);
  const signed = await signAccessToken(platform, alice, region, access, platform.now() + 90_500);
  assert.equal(signed.expiresInSeconds, 90);
});

test('secrets are not taken for access tokens, access tokens are', async (t) => {
  const { sign } = await open(t);
  assert.ok(isAccessToken(await sign({})));
  for (const secret of ['ldg_key_abc', 'a.b.c', 'a secret of the operator . . ', '']) {
    assert.ok(!isAccessToken(secret), secret);
  }
});

test('a private key is never part of what is published', async (t) => {
  const { key } = await open(t);
  assert.throws(() => createPrivateKey({ key: key.publicJwk as never, format: 'jwk' }));
});
