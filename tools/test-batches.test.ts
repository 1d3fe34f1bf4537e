import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeTestDirectory } from '#test/database.ts';
import { dealFiles } from './test-batches.ts';

test('every file is in one batch, and no batch is much longer than another', () => {
  for (const count of [1, 11, 12, 13, 24, 25, 200]) {
    const files = Array.from({ length: count }, (_, i) => `file-${i}.test.ts`);
    const batches = dealFiles(files);
    assert.deepEqual(batches.flat().toSorted(), files.toSorted());
    const lengths = batches.map(({ length }) => length);
    assert.ok(Math.max(...lengths) - Math.min(...lengths) <= 1 && Math.max(...lengths) <= 12);
  }
});

test('a test that fails, and a file that does not even load, fail the run by their names', (t) => {
  const directory = makeTestDirectory(t);
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const run = (pattern: string) => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    try {
      const args = ['tools/run-tests.ts', join(directory, pattern)];
      return { code: 0, text: execFileSync(process.execPath, args, { env, encoding: 'utf8', stdio: 'pipe' }) };
    } catch (error) {
      const { status, stdout } = error as { status: number; stdout: string };
      return { code: status, text: stdout };
    }
  };
  write('good.test.mjs', `import { test } from 'node:test'; test('is well', () => {});`);
  const good = run('good.test.mjs');
  assert.equal(good.code, 0);
  assert.match(good.text, /^ℹ pass 1$/m);

  write('bad.test.mjs', `import { test } from 'node:test'; test('is not well', () => { throw new Error('so'); });`);
  const bad = run('*.test.mjs');
  assert.equal(bad.code, 1);
  assert.match(bad.text, /bad\.test\.mjs:1:\d+\n✖ is not well/);
  assert.match(bad.text, /^ℹ fail 1$/m);

  write('bad.test.mjs', `import './missing.mjs';`);
  const unloaded = run('*.test.mjs');
  assert.equal(unloaded.code, 1);
  assert.match(unloaded.text, /missing\.mjs/);

  assert.equal(run('none.test.mjs').code, 2);
});
