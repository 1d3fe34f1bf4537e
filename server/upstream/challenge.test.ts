import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChallenges } from './challenge.ts';

const read = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

test('challenges are read as RFC 9110 writes them, one or several, and as registries write them', () => {
  const cases: [string, unknown[]][] = [
    ['', []],
    ['Basic', [['basic', {}]]],
    ['Basic realm="a b"', [['basic', { realm: 'a b' }]]],
    [
      'Bearer realm="https://a.test/token",service="a.test",scope="repository:x:pull,push"',
      [['bearer', { realm: 'https://a.test/token', service: 'a.test', scope: 'repository:x:pull,push' }]],
    ],
    ['bEARER  Realm = "x" , SERVICE=y', [['bearer', { realm: 'x', service: 'y' }]]],
    [
      'Basic realm="x", Bearer realm="y", error="z"',
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y', error: 'z' }],
      ],
    ],
    [
      'Basic,Bearer realm="y"',
      [
        ['basic', {}],
        ['bearer', { realm: 'y' }],
      ],
    ],
    [
      'Negotiate YII=, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    ['Negotiate abc', [['negotiate', {}]]],
    [', ,Basic realm="x",,', [['basic', { realm: 'x' }]]],
    ['Basic realm="say \\"hi, Bearer realm=\\""', [['basic', { realm: 'say "hi, Bearer realm="' }]]],
    ['Bearer realm=https://a.test/token?x=1', [['bearer', { realm: 'https://a.test/token?x=1' }]]],
    ['Bearer realm="a",realm="b"', [['bearer', { realm: 'a' }]]],
    ['Bearer realm="never ends', [['bearer', {}]]],
    ['realm="no scheme"', []],
    ['"', []],
  ];
  for (const [header, expected] of cases) assert.deepEqual(read(header), expected, header);
});

test('a header made to be slow is read at once', () => {
  const started = performance.now();
  for (const part of ['a=', 'a="\\', 'Basic ', '=,', '" ', 'a ="b",', '\\"']) parseChallenges(`X ${part.repeat(8000)}`);
  assert.ok(performance.now() - started < 2000);
});
