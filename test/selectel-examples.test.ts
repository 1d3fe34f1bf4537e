import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { InjectOptions } from 'fastify';
import { Compile } from 'typebox/compile';
import { connectCluster } from '#core/cluster-integrations.ts';
import { createCluster } from '#core/clusters.ts';
import { fillIn, type HttpExample, parseHttpFile } from './http-file.ts';
import { pushImage } from './oci-client.ts';
import { type Json, openSelectel, type Selectel } from './selectel-client.ts';
import { type SelectelOperation, selectelOperations } from './selectel-operations.ts';

const read = (version: string) =>
  parseHttpFile(readFileSync(join(import.meta.dirname, `../examples/selectel/${version}.http`), 'utf8'));

for (const version of ['v1', 'v2'] as const) {
  for (const base of ['/selectel/api', '/api']) {
    test(`the examples of ${version} work at ${base} one after the other, and answer what the vendor does`, async (t) => {
      const selectel = await openSelectel(t);
      const { variables, examples } = read(version);
      const values: Record<string, string> = { ...(await prepare(selectel)), base, key: selectel.team.secret };
      for (const name of variables.keys()) assert.ok(name in values, `the test has no ${name}`);
      const answers = new Map<string, Json>();
      for (const example of examples) {
        const operation = selectelOperations.find((one) => one.version === version && one.title === example.title);
        assert.ok(operation, `${example.title} is no operation of ${version}`);
        const answer = await send(selectel, example, (text) => fillIn(text, values, answers));
        check(operation, example, answer);
        if (example.name !== undefined) answers.set(example.name, answer.json);
      }
    });
  }
}

test('there is one example for each of the thirty operations', () => {
  const titles = (['v1', 'v2'] as const).flatMap((version) =>
    read(version).examples.map(({ title }) => `${version} ${title}`),
  );
  assert.equal(selectelOperations.length, 30);
  assert.deepEqual(titles.sort(), selectelOperations.map(({ version, title }) => `${version} ${title}`).sort());
});

type Answer = { status: number; text: string; json: Json };

async function send(
  { app }: Selectel,
  { method, url, headers, body }: HttpExample,
  fill: (text: string) => string,
): Promise<Answer> {
  const response = await app.inject({
    method: method as NonNullable<InjectOptions['method']>,
    url: fill(url),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, fill(value)])),
    ...(body !== undefined && { payload: fill(body) }),
  });
  const isJson = /^application\/json/.test(String(response.headers['content-type']));
  return { status: response.statusCode, text: response.body, json: isJson ? response.json() : undefined };
}

function check({ route, status, answer }: SelectelOperation, { title, method, url }: HttpExample, got: Answer): void {
  const path = url
    .replace('{{base}}', '')
    .replace(/\?.*$/, '')
    .replaceAll(/\{\{[^}]+\}\}/g, '*');
  assert.equal(`${method} ${path}`, route.replaceAll(/\{\w+\}/g, '*'), title);
  assert.equal(got.status, status, `${title}: ${got.text}`);
  if (answer === undefined) assert.equal(got.text, '', `${title} has a body`);
  else assert.deepEqual(Compile(answer).Errors(got.json), [], `${title}: ${got.text}`);
}

/** Two images, the second of them to be deleted by its digest, what an earlier push of a tag left behind, a cluster. */
async function prepare({ oci, team, platform }: Selectel): Promise<Record<string, string>> {
  const repository = `${team.registryName}/team/app`;
  await pushImage(oci, repository, 'v1', ['left behind']);
  await pushImage(oci, repository, 'v1');
  const digest = await pushImage(oci, repository, 'old', ['an old layer']);
  const access = { server: 'https://127.0.0.1:6443', token: 'a-service-account-token' };
  const cluster = await createCluster(platform, team.owner, { name: 'cluster-1', pool: 'ru-9', ...access });
  const places = { namespaces: ['default'], secretName: 'registry' };
  await connectCluster(platform, team.owner, { registry: team.registryId, cluster: cluster.id, ...places });
  return { registry: team.registryId, repository: 'team%2Fapp', tag: 'v1', digest };
}
