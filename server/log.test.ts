import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { Failure } from '#core/failure.ts';
import { openLog } from './log.ts';

function capture(isTTY: boolean) {
  const lines: string[] = [];
  const log = openLog({ level: 'info', stream: { isTTY, write: (text: string) => lines.push(text) } });
  return { log, text: () => lines.join('') };
}

test('a machine reads JSON lines', () => {
  const { log, text } = capture(false);
  log.info({ status: 200 }, 'GET /v2/');
  const line = JSON.parse(text());
  assert.deepEqual([line.level, line.status, line.msg], ['info', 200, 'GET /v2/']);
});

test('a person reads one short line', () => {
  const { log, text } = capture(true);
  log.warn({ status: 404, actor: 'key my laptop' }, 'GET /v2/');
  assert.match(
    stripVTControlCharacters(text()),
    /^\d\d:\d\d:\d\d warn {2}GET \/v2\/ status=404 actor="key my laptop"\n$/,
  );
});

test('what is below the level is not written', () => {
  const { log, text } = capture(false);
  log.debug({}, 'hidden');
  assert.equal(text(), '');
});

for (const isTTY of [true, false]) {
  // A surface that logs a request's headers by mistake must not publish the credentials of its users.
  test(`credentials never reach the log ${isTTY ? 'of a terminal' : 'of a machine'}`, () => {
    const { log, text } = capture(isTTY);
    const headers = { authorization: 'Bearer leaked', 'x-auth-token': 'leaked', cookie: 'leaked' };
    log.info({ headers, req: { headers }, password: 'leaked', row: { secret: 'leaked', token: 'leaked' } }, 'request');
    assert.doesNotMatch(text(), /leaked/);
  });
}

// A path with escape sequences would else rewrite the terminal of whoever watches the log.
test('control characters that clients send do not reach a terminal', () => {
  const { log, text } = capture(true);
  log.info({ path: '\u001b[2J' }, 'GET /\u001b]0;title\u0007');
  const line = stripVTControlCharacters(text()).trimEnd();
  assert.ok(![...line].some((letter) => letter < ' '), JSON.stringify(line));
  assert.ok(!text().includes('\u001b[2J') && !text().includes('\u0007'));
});

for (const isTTY of [true, false]) {
  test(`the log ${isTTY ? 'of a terminal' : 'of a machine'} has what only the operator may know`, () => {
    const { log, text } = capture(isTTY);
    log.warn(
      { err: new Failure('unavailable', 'It is away.', { forOperator: 'The bucket images is away.' }) },
      'a job',
    );
    assert.match(text(), /The bucket images is away\./);
    assert.match(text(), /It is away\./);
  });
}
