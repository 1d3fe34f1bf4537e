import assert from 'node:assert/strict';
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { settings } from '#server/config.ts';
import { root, settingNamesIn } from './programs.ts';

// A setting that is renamed must not live on in what people deploy: an unknown one stops the start.

const known = new Set<string>(Object.values(settings).map(({ name }) => name));
/** A variable of Kubernetes that a comment tells of. */
const others = new Set(['LADING_PORT']);
const files = globSync(['Dockerfile', 'compose*.yaml', 'deploy/**/*'], { cwd: root })
  .filter((file) => statSync(join(root, file)).isFile())
  .toSorted();

for (const file of files) {
  test(`${file} names only settings that there are`, () => {
    const unknown = settingNamesIn(readFileSync(join(root, file), 'utf8')).filter((name) => !known.has(name));
    assert.deepEqual(
      unknown.filter((name) => !others.has(name)),
      [],
    );
  });
}

test('the image, both compose files and the chart are looked at', () => {
  const naming = files.filter((file) => settingNamesIn(readFileSync(join(root, file), 'utf8')).length > 0);
  for (const file of ['Dockerfile', 'compose.yaml', 'compose.single.yaml', 'deploy/helm/lading/templates/_pod.tpl']) {
    assert.ok(naming.includes(file), file);
  }
});
