import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRegistryName } from './names.ts';
import { parseDisplayName, toSlug } from './slugs.ts';

test('a slug keeps the letters and digits of a name', () => {
  const slugs = [
    ['Über uns (2)', 'uber-uns-2'],
    ['default', 'default'],
    ['  --A__b..c-- ', 'a-b-c'],
    ['ﬁne', 'fine'],
    [`${'a'.repeat(39)} b`, 'a'.repeat(39)],
  ];
  for (const [name, slug] of slugs) assert.equal(toSlug(name ?? '', 'team'), slug);
});

test('a name that gives no slug, or one that would be taken for an id, is refused', () => {
  for (const name of ['日本', '!!!', '', '0198c0de-0000-7000-8000-000000000000']) {
    assert.throws(() => toSlug(name, 'project'), { reason: 'invalid' }, name);
  }
});

test('every slug, with every suffix, is a registry name', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'grapheme', maxLength: 60 }), fc.uuid()), (name) => {
      let slug: string;
      try {
        slug = toSlug(name, 'team');
      } catch {
        return;
      }
      assert.equal(parseRegistryName(slug), slug);
      assert.equal(parseRegistryName(`${slug}-0123456789ab`), `${slug}-0123456789ab`);
    }),
  );
});

test('a name is trimmed, and one that nobody could read in a list is refused', () => {
  assert.equal(parseDisplayName('  CI <b>of</b> Zoë ', 'key'), 'CI <b>of</b> Zoë');
  for (const name of ['', '   ', 'a\nb', 'a\0b', '\ud800', 'gnp\u202eexe', 'x'.repeat(101)]) {
    assert.throws(() => parseDisplayName(name, 'key'), { reason: 'invalid' }, JSON.stringify(name));
  }
});
