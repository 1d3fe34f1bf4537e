import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { buildApp } from '#server/app.ts';
import { openTestPlatform, seedTeam } from '#test/platform.ts';

test('an image that was pushed is pulled byte for byte', async (t) => {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const app = await buildApp(platform);
  t.after(() => app.close());
  const headers = { authorization: `Basic ${Buffer.from(`x:${team.secret}`).toString('base64')}` };
  const layer = Buffer.from('a layer');
  const digest = (b: Buffer) => `sha256:${createHash('sha256').update(b).digest('hex')}`;
  const start = await app.inject({ method: 'POST', url: '/v2/acme/app/blobs/uploads/', headers });
  assert.equal(start.statusCode, 202, start.body);
  const put = await app.inject({
    method: 'PUT',
    url: `${start.headers.location}?digest=${digest(layer)}`,
    headers,
    payload: layer,
  });
  assert.equal(put.statusCode, 201, put.body);
  const get = await app.inject({ method: 'GET', url: `/v2/acme/app/blobs/${digest(layer)}`, headers });
  assert.equal(get.statusCode, 200);
  assert.equal(get.body, 'a layer');
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digest(layer), size: 7 },
      layers: [],
    }),
  );
  const pushed = await app.inject({
    method: 'PUT',
    url: '/v2/acme/app/manifests/v1',
    headers: { ...headers, 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
    payload: manifest,
  });
  assert.equal(pushed.statusCode, 201, pushed.body);
  const pulled = await app.inject({ method: 'GET', url: '/v2/acme/app/manifests/v1', headers });
  assert.deepEqual(pulled.rawPayload, manifest);
});
