import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '#core/failure.ts';
import { openLog } from '#server/log.ts';
import { tellChecks } from './told-checks.ts';

test('the log says once that a check fails, once that it fails in another way, and once that it is well', async () => {
  const lines: { level: string; check: string; msg: string }[] = [];
  const log = openLog({ level: 'info', stream: { write: (line) => lines.push(JSON.parse(line)) } });
  let fault: Error | undefined;
  const check = async () => {
    if (fault) throw fault;
  };
  const { store } = tellChecks({ store: check }, log);
  const away = new Failure('unavailable', 'The storage is away.', { forOperator: 'The bucket images is away.' });
  for (fault of [undefined, away, away, new Error('full'), undefined, undefined, away]) {
    if (fault) await assert.rejects(store?.() ?? assert.fail(), fault);
    else await store?.();
  }
  assert.deepEqual(
    lines.map(({ level, check, msg }) => `${level} ${check} ${msg}`),
    [
      'error store not ready: The bucket images is away.',
      'error store not ready: full',
      'info store ready again: the store is well',
      'error store not ready: The bucket images is away.',
    ],
  );
});
