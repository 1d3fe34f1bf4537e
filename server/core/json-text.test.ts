import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Failure } from './failure.ts';
import { parseStrictObject } from './json-text.ts';

const bytesOf = (text: string) => Buffer.from(text);
const isRefusal = (error: unknown) =>
  error instanceof Failure && error.reason === 'invalid' && error.detail.about === 'manifest';

/** Any UTF-16 that can be sent as UTF-8. */
const text = fc.string({ unit: fc.nat(0xd7ff).map((code) => String.fromCharCode(code)) });

test('any object that JSON.stringify writes is read back as it was', () => {
  fc.assert(
    fc.property(fc.dictionary(text, fc.jsonValue({ maxDepth: 5 })), (value) => {
      const text = JSON.stringify(value);
      assert.deepEqual(parseStrictObject(bytesOf(text)), JSON.parse(text));
    }),
  );
});

test('layout, escapes and a newline at the end do not matter', () => {
  const text = '\r\n\t { "\\u0061" : [ 1e2 , "\\"}{[" , null ] ,"b\\\\":{"a":{"a":"\\\\"}} , "\u2028":"" }\n';
  assert.deepEqual(parseStrictObject(bytesOf(text)), {
    a: [100, '"}{[', null],
    'b\\': { a: { a: '\\' } },
    '\u2028': '',
  });
});

test('what is no object, or not only one, is refused', () => {
  const texts = [
    '',
    ' ',
    'null',
    'true',
    '1',
    '"a"',
    '[]',
    '[{}]',
    '{}{}',
    '{} x',
    '{}\0',
    '\0{}',
    '{',
    '{"a"}',
    '{"a":}',
  ];
  const loose = [
    "{'a':1}",
    '{a:1}',
    '{"a":1,}',
    '{"a":[1,]}',
    '{"a":01}',
    '{"a":+1}',
    '{"a":NaN}',
    '{"a":0x1}',
    '{"a":1}//',
  ];
  const broken = ['{"a":"\n"}', '{"a":"\\x"}', '{"a":"', '{"a":"\\', '{"a":tru}', ']', '}', '{"a":1]', '[}'];
  for (const text of [...texts, ...loose, ...broken]) {
    assert.throws(() => parseStrictObject(bytesOf(text)), isRefusal, JSON.stringify(text));
  }
});

test('a byte order mark and bytes that are not UTF-8 are refused', () => {
  assert.throws(() => parseStrictObject(Buffer.from([0xef, 0xbb, 0xbf, ...bytesOf('{}')])), isRefusal);
  assert.throws(() => parseStrictObject(Buffer.from('{"a":"ä"}', 'latin1')), isRefusal);
  assert.throws(() => parseStrictObject(Buffer.from('{}', 'utf16le')), isRefusal);
  assert.throws(
    () => parseStrictObject(Buffer.from([...bytesOf('{"a":"'), 0xed, 0xa0, 0x80, ...bytesOf('"}')])),
    isRefusal,
  );
  assert.throws(() => parseStrictObject(Buffer.from([...bytesOf('{"a":"'), 0xc0, 0x80, ...bytesOf('"}')])), isRefusal);
});

// CVE-2021-41190's cousin: one parser takes the first of two keys, another the last.
test('a key that stands twice in one object is refused, however it is spelt and however deep', () => {
  const doubles = [
    '{"a":1,"a":1}',
    '{"a":1,"b":2,"a":3}',
    '{"a":1,"\\u0061":2}',
    '{"\\u0061":1,"\\u0061":2}',
    '{"x":{"a":1,"a":2}}',
    '{"x":[{"a":1},{"a":1,"b":{},"a":2}]}',
    '{"x":[[{"y":{"a":"}","a":"{"}}]]}',
    '{"":1,"":2}',
    '{"a":{"b":1},"a":[]}',
    '{"a\\"":1,"a\\u0022":2}',
    '{"__proto__":1,"__proto__":2}',
  ];
  for (const text of doubles) assert.throws(() => parseStrictObject(bytesOf(text)), /twice/, text);
});

test('the same key in different objects, in a value, or in other letters is no double', () => {
  const singles = [
    '{"a":{"a":{"a":1}}}',
    '{"x":[{"a":1},{"a":1}]}',
    '{"a":"a","b":"a"}',
    '{"a":["a","a","a"],"b":"\\"a\\":1,\\"a\\":2"}',
    '{"a":1,"A":2}',
    '{"a":{"b":1},"b":{"a":1}}',
    '{"a":[],"b":[[]],"c":{}}',
    '{"__proto__":1,"constructor":2}',
  ];
  for (const text of singles) assert.deepEqual(parseStrictObject(bytesOf(text)), JSON.parse(text));
});

test('a double is found wherever it stands: against an index of all keys', () => {
  const key = fc.constantFrom('a', 'b', '\\u0061', '\\"', '{', ',');
  const { value } = fc.letrec<{ value: string; object: string }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom('1', '"a"', '"{\\"a\\":1,"', 'null'),
      fc.array(tie('value'), { maxLength: 3 }).map((values) => `[${values.join()}]`),
      tie('object'),
    ),
    object: fc
      .array(fc.tuple(key, tie('value')), { maxLength: 4 })
      .map((entries) => `{${entries.map(([name, text]) => `"${name}":${text}`).join(' , ')}}`),
  }));
  fc.assert(
    fc.property(value, (text) => {
      const document = `{"root":${text}}`;
      const isDouble = countKeys(document) !== countParsed(JSON.parse(document));
      if (isDouble) assert.throws(() => parseStrictObject(bytesOf(document)), /twice/);
      else assert.deepEqual(parseStrictObject(bytesOf(document)), JSON.parse(document));
    }),
    { numRuns: 1000 },
  );
});

/** Keys as they stand in the text: strings before a colon. */
function countKeys(text: string): number {
  return text.match(/"(?:[^"\\]|\\.)*"\s*(?::|)/g)?.filter((match) => match.endsWith(':')).length ?? 0;
}

/** Keys that a parser which forgets doubles has left, doubles inside forgotten values included. */
function countParsed(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + countParsed(item), 0);
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce((sum: number, item) => sum + 1 + countParsed(item), 0);
}

// Security test 2. A recursive parser dies of these; a slow one stops every other request.
test('ten thousand levels, and a megabyte of brackets, are refused at once', () => {
  const started = performance.now();
  for (const depth of [65, 10_000, 1_000_000]) {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const inner = open.repeat(depth);
      assert.throws(() => parseStrictObject(bytesOf(`{"a":${inner}1${close.repeat(depth)}}`)), /deeper/);
      assert.throws(() => parseStrictObject(bytesOf(`{"a":${inner}`)), /deeper/);
    }
  }
  const brackets = `{"a":"${'['.repeat(1_000_000)}"}`;
  assert.equal((parseStrictObject(bytesOf(brackets)).a as string).length, 1_000_000, 'in a string they mean nothing');
  const wide = `{"a":[${'[],'.repeat(100_000)}[]]}`;
  assert.equal((parseStrictObject(bytesOf(wide)).a as unknown[]).length, 100_001, 'nor side by side');
  assert.ok(performance.now() - started < 5000);
});

test('64 levels are read', () => {
  const depth = 63;
  const text = `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  assert.deepEqual(parseStrictObject(bytesOf(text)), JSON.parse(text));
});
