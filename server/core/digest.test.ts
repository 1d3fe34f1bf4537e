import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { algorithmOf, digestOf, isDigest, isWellFormedDigest, parseDigest } from './digest.ts';

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });

test('a digest that can be stored is sha256 with 64 or sha512 with 128 lower-case hex digits, and nothing else is', () => {
  fc.assert(
    fc.property(fc.constantFrom('sha256', 'sha512', 'sha384', 'md5'), fc.nat(130).chain(hex), (algorithm, encoded) => {
      const length = new Map([
        ['sha256', 64],
        ['sha512', 128],
      ]).get(algorithm);
      assert.equal(isDigest(`${algorithm}:${encoded}`), encoded.length === length);
    }),
  );
  fc.assert(
    fc.property(hex(64), (encoded) => {
      const good = `sha256:${encoded}`;
      assert.equal(parseDigest(good), good);
      assert.equal(isDigest(`sha512:${encoded}${encoded}`), true);
      const near = [
        good.toUpperCase(),
        `${good}\n`,
        ` ${good}`,
        `${good}0`,
        good.slice(0, -1),
        encoded,
        `sha256-${encoded}`,
      ];
      for (const bad of [
        ...near,
        `sha512:${encoded}`,
        `sha256:${encoded}${encoded}`,
        `sha256::${encoded}`,
        `a:${good}`,
      ]) {
        assert.equal(isDigest(bad), false, JSON.stringify(bad));
        assert.throws(() => parseDigest(bad), { reason: 'invalid', detail: { about: 'digest' } });
      }
    }),
  );
});

// image-spec, descriptor.md: unknown algorithms pass in descriptors; known ones must be right.
test('a well-formed digest is of any algorithm, and of a known one only if its length and case are right', () => {
  const a64 = 'a'.repeat(64);
  const good = [
    `sha256:${a64}`,
    `sha512:${a64}${a64}`,
    `blake3:${a64}`,
    'multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8',
  ];
  for (const text of [
    ...good,
    'sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564',
    'a:=',
    'a.b-c_d+e:Z',
    'md5:x',
  ]) {
    assert.equal(isWellFormedDigest(text), true, text);
  }
  const bad = [
    '',
    ':',
    'a:',
    ':a',
    'sha256:',
    `sha256:${a64.toUpperCase()}`,
    'sha256:abc',
    `sha512:${a64}`,
    'A:a',
    'a:b/c',
    'a:b c',
    '+a:b',
  ];
  for (const text of [
    ...bad,
    'a..b:c',
    'a:ä',
    'a:b\0',
    'sha256:../../etc',
    `${'a'.repeat(2000)}:b`,
    `a:${'b'.repeat(2000)}`,
  ]) {
    assert.equal(isWellFormedDigest(text), false, text);
  }
});

test('hostile digests cost no more than their length', () => {
  const started = performance.now();
  for (const text of [`${'a.'.repeat(100_000)}`, `${'a+'.repeat(100_000)}:`, `sha256:${'a'.repeat(4_000_000)}`]) {
    assert.equal(isDigest(text), false);
    assert.equal(isWellFormedDigest(text), false);
  }
  assert.ok(performance.now() - started < 2000);
});

test('the digest of bytes is that of node:crypto, under either algorithm', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom('sha256', 'sha512'), (bytes, algorithm) => {
      const digest = digestOf(bytes, algorithm);
      assert.equal(digest, `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`);
      assert.equal(algorithmOf(digest), algorithm);
      assert.equal(isDigest(digest), true);
    }),
  );
});
