import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf, makeToken, useLading } from './suite.ts';

const suite = useLading();
const PLAIN = '--plain-http';

const helm = (...args: string[]) => suite.bench.run('helm', args);
const login = (secret: string) =>
  suite.bench.run('helm', ['registry', 'login', PLAIN, '-u', 'anyone', '--password-stdin', suite.lading.host], {
    input: secret,
  });

async function packageChart(name: string, version: string): Promise<string> {
  await helm('create', name);
  await helm('package', name, '--version', version);
  return join(suite.bench.dir, `${name}-${version}.tgz`);
}

test('helm pushes a chart and pulls the same archive', async () => {
  await login(suite.lading.key);
  const archive = await packageChart('harbour', '1.2.3');
  const repository = `oci://${suite.ref('charts')}`;
  await helm('push', archive, repository, PLAIN);
  const pulled = join(suite.bench.dir, 'pulled');
  await mkdir(pulled);
  await helm('pull', `${repository}/harbour`, '--version', '1.2.3', '-d', pulled, PLAIN);
  assert.deepEqual(await readFile(join(pulled, 'harbour-1.2.3.tgz')), await readFile(archive));
  assert.match(await helm('show', 'chart', `${repository}/harbour`, '--version', '1.2.3', PLAIN), /version: 1\.2\.3/);
  await digestOf(suite.lading, 'default/charts/harbour', '1.2.3');
});

test('a version with build metadata and the choice of the newest matching version work', async () => {
  await login(await makeToken(suite.lading, 'rw'));
  const repository = `oci://${suite.ref('charts')}`;
  for (const version of ['2.0.0', '2.1.0', '2.1.0+build.5', '3.0.0-rc.1']) {
    await helm('push', await packageChart('crane-chart', version), repository, PLAIN);
  }
  await digestOf(suite.lading, 'default/charts/crane-chart', '2.1.0_build.5');
  assert.match(
    await helm('show', 'chart', `${repository}/crane-chart`, '--version', '~2.0', PLAIN),
    /version: 2\.0\.0/,
  );
  assert.match(
    await helm('show', 'chart', `${repository}/crane-chart`, '--version', '2.1.0+build.5', PLAIN),
    /build\.5/,
  );
});

test('a wrong password is refused at login and a read-only token at push', async () => {
  const { bench, lading } = suite;
  const wrong = await bench.refused(
    'helm',
    ['registry', 'login', PLAIN, '-u', 'anyone', '--password-stdin', lading.host],
    { input: 'no such secret' },
  );
  assert.match(wrong, /401|unauthorized/i);
  await login(await makeToken(lading, 'ro'));
  const archive = await packageChart('refused', '0.1.0');
  assert.match(
    await bench.refused('helm', ['push', archive, `oci://${suite.ref('charts')}`, PLAIN]),
    /40[13]|denied|unauthorized/i,
  );
});
