import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pushBlob } from '#test/oci-client.ts';
import { assertHeaders, openRegistry, outcomeOf } from '#test/registry-client.ts';
import { parseRange } from './ranges.ts';

const bytes = Array.from({ length: 1600 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
const size = bytes.length;

// Edge case 17. `undefined`: the whole blob; null: 416; else first and last byte.
const table: [string, [number, number] | null | undefined][] = [
  ['bytes=0-0', [0, 0]],
  ['bytes=500-1499', [500, 1499]],
  ['bytes=500-', [500, size - 1]],
  ['bytes=-500', [size - 500, size - 1]],
  ['bytes=-1', [size - 1, size - 1]],
  [`bytes=0-${size - 1}`, [0, size - 1]],
  ['bytes=0-', [0, size - 1]],
  [`bytes=${size - 1}-`, [size - 1, size - 1]],
  [`bytes=1000-${size}`, [1000, size - 1]],
  ['bytes=1000-99999999999999999999', [1000, size - 1]],
  ['bytes=-1600', [0, size - 1]],
  ['bytes=-99999', [0, size - 1]],
  ['bytes= 5-6', [5, 6]],
  ['bytes=500-0', null],
  ['bytes=1-0', null],
  [`bytes=${size}-`, null],
  [`bytes=${size}-${size + 5}`, null],
  ['bytes=99999999999999999999-', null],
  ['bytes=-0', null],
  [`bytes=${size}-,${size + 1}-`, null],
  ['bytes', undefined],
  ['bytes=', undefined],
  ['bytes=-', undefined],
  ['bytes=a-b', undefined],
  ['bytes=0x1-2', undefined],
  ['bytes=1-2-3', undefined],
  ['bytes=1.5-2', undefined],
  ['bytes=--5', undefined],
  ['octets=0-5', undefined],
  ['0-5', undefined],
  ['bytes=0-5,', undefined],
  [`bytes=0-5,${size}-`, undefined],
  // More than the whole in all.
  ['bytes=0-,0-0', undefined],
  ['bytes=0-999,500-1499', undefined],
  [`bytes=${Array(64).fill('0-').join()}`, undefined],
];

test('the range table: what is asked is what comes, with the blob’s own digest; what is not there is 416', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/app', bytes);
  const url = `/v2/acme/app/blobs/${digest}`;
  for (const [range, expected] of table) {
    const answer = await owner('GET', url, { headers: { range } });
    if (expected === null) {
      assert.equal(outcomeOf(answer), '416 SIZE_INVALID', range);
      assertHeaders(answer, { 'Content-Range': `bytes */${size}`, ETag: undefined, 'Cache-Control': undefined });
      assertHeaders(answer, { 'Docker-Content-Digest': undefined, 'Content-Length': `${answer.bytes.length}` });
      continue;
    }
    const [first, last] = expected ?? [0, size - 1];
    assert.equal(answer.status, expected ? 206 : 200, range);
    assert.equal(answer.text, bytes.slice(first, last + 1), range);
    assertHeaders(answer, {
      'Content-Range': expected && `bytes ${first}-${last}/${size}`,
      'Content-Length': `${last - first + 1}`,
      'Content-Type': 'application/octet-stream',
      'Docker-Content-Digest': digest,
      ETag: `"${digest}"`,
      'Accept-Ranges': 'bytes',
    });
  }
});

test('a HEAD does not look at the range', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/app', bytes);
  for (const range of ['bytes=0-5', 'bytes=99999-']) {
    const answer = await owner('HEAD', `/v2/acme/app/blobs/${digest}`, { headers: { range } });
    assert.equal(answer.status, 200);
    assertHeaders(answer, { 'Content-Length': `${size}`, 'Content-Range': undefined });
  }
});

test('If-Range: of this very blob a part comes, of anything else the whole', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/app', bytes);
  for (const [tag, status] of [
    [`"${digest}"`, 206],
    [digest, 206],
    ['"other"', 200],
    ['Sat, 21 Nov 2026 00:00:00 GMT', 200],
  ] as const) {
    const headers = { range: 'bytes=0-5', 'if-range': tag };
    assert.equal((await owner('GET', `/v2/acme/app/blobs/${digest}`, { headers })).status, status, tag);
  }
});

/** The parts of a multipart/byteranges body, read as containers/image does: strictly. */
function partsOf(body: string, contentType: string): { range: string; type: string; text: string }[] {
  const boundary = /^multipart\/byteranges; boundary=([0-9a-f]+)$/.exec(contentType)?.[1];
  assert.ok(boundary, contentType);
  const pieces = `\r\n${body}`.split(`\r\n--${boundary}`);
  assert.equal(pieces.shift(), '');
  assert.equal(pieces.pop(), '--\r\n');
  return pieces.map((piece) => {
    const match = /^\r\nContent-Type: ([^\r]+)\r\nContent-Range: ([^\r]+)\r\n\r\n(.*)$/s.exec(piece);
    assert.ok(match, piece);
    return { type: match[1] ?? '', range: match[2] ?? '', text: match[3] ?? '' };
  });
}

// containers/image aborts a zstd:chunked pull unless each range is one part, unmerged and in order.
test('several ranges are as many parts, in the order asked, also where they touch, overlap or repeat', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/app', bytes);
  for (const ranges of [
    '0-9,20-29',
    '0-9,10-19,20-29',
    '20-29,0-9',
    '0-9,5-14',
    '0-0,0-0',
    '-5,0-4',
    '0-1589,1590-9999',
  ]) {
    const answer = await owner('GET', `/v2/acme/app/blobs/${digest}`, { headers: { range: `bytes=${ranges}` } });
    assert.equal(answer.status, 206, ranges);
    const parts = partsOf(answer.text, answer.headers['content-type'] ?? '');
    const expected = ranges.split(',').map((range) => {
      const [from = '', to = ''] = range.split('-');
      const first = from === '' ? size - Number(to) : Number(from);
      const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
      const text = bytes.slice(first, last + 1);
      return { type: 'application/octet-stream', range: `bytes ${first}-${last}/${size}`, text };
    });
    assert.deepEqual(parts, expected, ranges);
    assertHeaders(answer, {
      'Content-Length': `${answer.bytes.length}`,
      'Content-Range': undefined,
      'Docker-Content-Digest': digest,
    });
  }
});

test('64 ranges are parts, more are answered with the whole blob', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/app', bytes);
  const ranges = (count: number) => `bytes=${Array.from({ length: count }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`;
  const url = `/v2/acme/app/blobs/${digest}`;
  const most = await owner('GET', url, { headers: { range: ranges(64) } });
  assert.equal(partsOf(most.text, most.headers['content-type'] ?? '').length, 64);
  const whole = await owner('GET', url, { headers: { range: ranges(65) } });
  assert.equal(whole.status, 200);
  assert.equal(whole.text, bytes);
});

// Edge case 10: the letter of the RFC is 416, what clients know from Go servers is an empty 200.
test('any range of an empty blob is an empty 200', async (t) => {
  const { owner } = await openRegistry(t);
  const digest = await pushBlob(owner, 'acme/app', '');
  for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-5', 'bytes=5-', 'bytes=0-0,1-1', 'x']) {
    const answer = await owner('GET', `/v2/acme/app/blobs/${digest}`, { headers: { range } });
    assert.equal(answer.status, 200, range);
    assertHeaders(answer, { 'Content-Length': '0', 'Content-Range': undefined });
    assert.equal(answer.text, '');
  }
});

test('whatever a Range header says, every part lies inside the blob, and as many come as were asked or none', () => {
  const number = fc.oneof(fc.nat(30), fc.constantFrom('', '99999999999999999999', 'x', '007'));
  const spec = fc.tuple(number, number).map(([from, to]) => `${from}-${to}`);
  const header = fc.array(spec, { minLength: 1, maxLength: 70 }).map((specs) => `bytes=${specs.join(',')}`);
  fc.assert(
    fc.property(fc.oneof(header, fc.string()), fc.nat(20), (text, length) => {
      const answer = parseRange(text, length);
      if (answer.kind !== 'parts') return;
      assert.ok(length > 0);
      assert.equal(answer.parts.length, text.split(',').length);
      const sum = answer.parts.reduce((sum, { start, end }) => sum + end - start + 1, 0);
      assert.ok(sum <= length);
      for (const { start, end } of answer.parts) assert.ok(start >= 0 && start <= end && end < length);
    }),
    { numRuns: 2000 },
  );
});
