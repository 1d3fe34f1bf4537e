import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Json } from '#test/native-client.ts';
import { findPlanted, newMark, plant } from '#test/planted-secrets.ts';
import { startLading } from '#test/servers/lading.ts';

test('a running server prints no secret, and keeps none in the open', async (t) => {
  const lading = await startLading({ env: { LADING_LOG_LEVEL: 'debug' } });
  t.after(lading.stop);
  const marks = [newMark(), newMark(), newMark()];
  const ask = async (asked: string, body: object) => {
    const [method = '', path = ''] = asked.split(' ');
    const headers = { authorization: `Bearer ${lading.key}`, 'content-type': 'application/json' };
    return (await fetch(`${lading.url}${path}`, { method, headers, body: JSON.stringify(body) })).json() as Json;
  };
  const [password, staged, secret] = marks;
  await ask('POST /lading/v1/connections', { name: 'a', provider: 'oci', url: '127.0.0.1', username: 'a', password });
  assert.equal((await ask('POST /lading/v1/connections/a/test', {})).passed, false);
  await ask('PUT /lading/v1/connections/a/replacement', { password: staged });
  await ask('POST /v1/container-registries', {
    name: secret,
    url: `https://a:${secret}@b`,
    username: secret,
    password: 'x',
  });
  const made = [await ask('POST /lading/v1/tokens', { scope: 'ro', registryIds: null }), { secret: lading.key }];
  const keyFile = readdirSync(lading.dataDir).find((name) => /key/.test(name)) ?? '';
  const key = readFileSync(join(lading.dataDir, keyFile), 'latin1');
  const planted = [...marks, ...made.map((one) => one.secret)].map((mark, i) => plant(`secret ${i}`, mark));
  planted.push(plant('the master key', Buffer.from(key.trim().split(':').at(-1) ?? '', 'base64')));
  const files = readdirSync(lading.dataDir, { recursive: true, withFileTypes: true }).filter(
    (one) => one.isFile() && one.name !== keyFile,
  );
  assert.ok(files.length > 1);
  for (const { parentPath, name } of files) {
    assert.deepEqual(findPlanted(readFileSync(join(parentPath, name)), planted), [], name);
  }
  const output = lading.child.output();
  assert.match(output, /POST \/v1\/container-registries/);
  assert.deepEqual(findPlanted(output, planted), [], output);
});
