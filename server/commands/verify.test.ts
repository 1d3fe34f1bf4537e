import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeTestDirectory } from '#test/database.ts';
import { watch } from '#test/servers/child.ts';
import { cleanEnvironment, LADING, startLading } from '#test/servers/lading.ts';
import { lookIntoStoreOf } from '#test/test-store.ts';

async function run(env: NodeJS.ProcessEnv, ...flags: string[]) {
  const child = watch(spawn(LADING, ['verify', ...flags], { env, stdio: ['ignore', 'pipe', 'pipe'] }), LADING);
  return { code: await child.exited, output: child.output() };
}

test('verify looks beside a server at work, and its exit code tells what it saw', async (t) => {
  const dataDir = makeTestDirectory(t);
  const lading = await startLading({ dataDir });
  t.after(() => lading.kill9());
  const digest = 'sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae';
  const url = `${lading.url}/v2/default/app/blobs/`;
  const headers = { authorization: `Bearer ${lading.key}` };
  const pushed = await fetch(`${url}uploads/?digest=${digest}`, { method: 'POST', headers, body: 'foo' });
  assert.equal(pushed.status, 201);

  const well = await run(lading.env, '--deep');
  assert.deepEqual([well.code, /All is well/.test(well.output)], [0, true], well.output);

  const view = await lookIntoStoreOf(lading.env);
  for (const key of (await view.listObjects()).keys()) await view.loseObject(key);
  const found = await run(lading.env, '--json', '--repair');
  assert.equal(found.code, 1);
  const { findings, checked } = JSON.parse(found.output);
  assert.equal(checked.blobs, 1);
  assert.deepEqual(findings, [
    {
      kind: 'object missing',
      what: `${digest} of default`,
      expected: '3 bytes',
      found: 'nothing',
      repair: 'marked as lost',
    },
  ]);
  assert.equal((await fetch(`${url}${digest}`, { method: 'HEAD', headers })).status, 404);

  const table = await run(lading.env);
  assert.equal(table.code, 1);
  assert.match(table.output, /^blob lost +sha256:2c26\S+ of default +its bytes +gone until it is pushed again$/m);
  assert.match(table.output, /^Looked at 1 registry, 1 repository, 0 manifests, 1 blob, .* and 1 object, /m);
  assert.match(table.output, /^1 finding\.\n.* comes back when an image that has it is pushed again\./m);
  assert.doesNotMatch(table.output, /--repair/, 'it would do nothing more');
});

test('a repair with the wrong place of the objects is refused, and a table has its end', async (t) => {
  const dataDir = makeTestDirectory(t);
  const lading = await startLading({ dataDir });
  t.after(() => lading.kill9());
  const headers = { authorization: `Bearer ${lading.key}` };
  for (let i = 0; i < 60; i++) {
    const body = `layer ${i}`;
    const digest = createHash('sha256').update(body).digest('hex');
    const url = `${lading.url}/v2/default/app/blobs/uploads/?digest=sha256:${digest}`;
    assert.equal((await fetch(url, { method: 'POST', headers, body })).status, 201);
  }
  const view = await lookIntoStoreOf(lading.env);
  for (const key of (await view.listObjects()).keys()) await view.loseObject(key);
  const refused = await run(lading.env, '--repair');
  assert.equal(refused.code, 2, refused.output);
  assert.match(refused.output, /^lading: 60 of 60 objects .* nothing was changed: .*--yes\.$/m);

  const { code, output } = await run(lading.env);
  assert.equal(code, 1);
  assert.equal(output.match(/^object missing /gm)?.length, 50);
  assert.match(output, /^and 10 more \(--json has all\)\n\n60 findings\.\n--repair .*\nMost objects are missing: /m);

  const repaired = await run(lading.env, '--repair', '--yes');
  assert.match(
    repaired.output,
    /^60 findings\.\n60 of them were repaired\.\nMost objects .*\nA blob that is lost comes back /m,
  );
});

test('verify ends with 2 where there is nothing to look at, and makes nothing', async (t) => {
  const dataDir = makeTestDirectory(t);
  const on = (path: string) => ({ ...cleanEnvironment(), LADING_DATA_DIR: path });
  const { code, output } = await run(on(dataDir));
  assert.equal(code, 2);
  assert.match(output, /it is not the data directory of an installation/);
  assert.deepEqual(readdirSync(dataDir), []);
  assert.equal((await run(on(join(dataDir, 'missing')))).code, 2);
});

// A backup without its key would else be found out by the start that is refused.
test('verify finds secrets that the configured keys do not open', async (t) => {
  const dataDir = makeTestDirectory(t);
  const lading = await startLading({ dataDir });
  t.after(() => lading.kill9());
  assert.equal(await lading.stop(), 0);
  rmSync(join(dataDir, 'master-key'));
  const { code, output } = await run(lading.env);
  assert.equal(code, 1, output);
  assert.match(
    output,
    /^secrets lost +keys that sign access tokens: 1 .* sealed with "[0-9a-f]{12}", which is not configured$/m,
  );
  assert.match(output, /A lost master key/);
});
