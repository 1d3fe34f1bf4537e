import assert from 'node:assert/strict';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { readConfig } from '#server/config.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { chart, run } from './programs.ts';

// The Helm chart: what it makes is what Kubernetes takes, and what Lading understands.

// biome-ignore lint/suspicious/noExplicitAny: Kubernetes' objects.
type Json = any;

const valueFiles = globSync('ci/*.yaml', { cwd: chart }).toSorted();
const shared = ['database.existingSecret=database', 'storage.url=s3://blobs', 'masterKey.existingSecret=master'];
const replicated = [...shared, 'bootstrapKey.existingSecret=bootstrap'];

function render(files: readonly string[], settings: readonly string[] = []) {
  const values = files.flatMap((file) => ['--values', join(chart, file)]);
  const sets = settings.flatMap((setting) => ['--set', setting]);
  return run('helm', ['template', 'release', chart, '--namespace', 'registry', ...values, ...sets]);
}

function objectsOf(settings: readonly string[], files: readonly string[] = []): Map<string, Json> {
  const { code, output, errors } = render(files, settings);
  assert.equal(code, 0, errors);
  const objects = parseAllDocuments(output).map((document) => document.toJS() as Json);
  return new Map(objects.filter(Boolean).map((object) => [object.kind, object]));
}

/** Against the schemas of the oldest and the newest Kubernetes that the program knows. */
function validate(t: Scope, manifests: readonly string[]) {
  const file = join(makeTestDirectory(t), 'manifests.yaml');
  writeFileSync(file, manifests.join('---\n'));
  const versions = ['--kubernetes-version', '1.33', '--kubernetes-version', '1.37'];
  const { code, output, errors } = run('kubernetes-validate', ['--strict', ...versions, file]);
  return { code, text: output + errors };
}

const workloadOf = (objects: Map<string, Json>) => objects.get('Deployment') ?? objects.get('StatefulSet');

for (const files of [[], ...valueFiles.map((file) => [file])]) {
  const name = files[0] ?? 'values.yaml alone';

  test(`${name}: helm finds nothing to complain about`, () => {
    const values = files.flatMap((file) => ['--values', join(chart, file)]);
    const { code, output, errors } = run('helm', ['lint', '--strict', chart, ...values]);
    assert.equal(code, 0, output + errors);
    assert.doesNotMatch(output, /\[(?:WARNING|ERROR)\]/);
  });

  test(`${name}: every object is one that the oldest and the newest known Kubernetes take`, (t) => {
    const { output } = render(files);
    // The operator's kinds have no schema among Kubernetes' own.
    const known = output
      .split(/^---$/m)
      .filter((part) => /^kind:/m.test(part) && !/^apiVersion: monitoring\.coreos\.com/m.test(part));
    const { code, text } = validate(t, known);
    assert.equal(code, 0, text);
    assert.equal(text.match(/passed for resource/g)?.length, 2 * known.length, text);
  });

  test(`${name}: Lading understands its environment`, () => {
    const objects = objectsOf([], files);
    const [container] = workloadOf(objects).spec.template.spec.containers;
    const environment: Record<string, string> = { ...objects.get('ConfigMap').data };
    for (const { name, value } of container.env ?? []) environment[name] = value ?? valuesOfSecrets[name];
    assert.deepEqual('faults' in readConfig(environment) ? readConfig(environment) : undefined, undefined);
  });
}

/** As an operator would fill the Secrets. */
const valuesOfSecrets: Record<string, string> = {
  LADING_DATABASE_URL: 'postgres://lading:secret@postgres:5432/lading',
  LADING_BOOTSTRAP_KEY: 'k'.repeat(40),
  LADING_METRICS_TOKEN: 't'.repeat(20),
};

test('a field that Kubernetes does not know is noticed', (t) => {
  const { code, text } = validate(t, [render([], ['podSecurityContext.runAsNobody=true']).output]);
  assert.equal(code, 1);
  assert.match(text, /runAsNobody/);
});

const refusals: readonly [string, readonly string[], RegExp][] = [
  ['replicas that share nothing', ['replicas=2'], /replicas: several need a database and a bucket/],
  ['replicas on one volume', ['replicas=2', 'database.existingSecret=x'], /replicas: several need/],
  [
    'replicas that each make a master key',
    ['database.existingSecret=x', 'storage.url=s3://b-1'],
    /masterKey\.existing/,
  ],
  ["a first owner's key that goes with a pod", shared, /bootstrapKey\.existingSecret/],
  ['a monitor that may not read', ['metrics.serviceMonitor.enabled=true'], /metrics\.existingSecret/],
  ['redirects to nowhere', ['storage.redirect=true'], /storage\.redirect needs storage\.url/],
  ['an ingress for nobody', ['ingress.enabled=true'], /ingress\.hosts/],
  ['a secret among settings', ['settings.LADING_MASTER_KEY=x'], /settings\.LADING_MASTER_KEY: the chart has a value/],
  ['a setting that is none', ['settings.PORT=80'], /PORT/],
  ['a value that is misspelt', ['replica=2'], /replica/],
  ['a public URL with a path', ['publicUrl=https://example.com/registry'], /publicUrl/],
];
for (const [what, settings, sentence] of refusals) {
  test(`${what}: refused`, () => {
    const { code, errors } = render([], settings);
    assert.equal(code, 1);
    assert.match(errors, sentence);
  });
}

test('replicas keep nothing in their pods, roll one by one and are never all evicted', () => {
  const objects = objectsOf([...replicated, 'replicas=3']);
  const { spec } = objects.get('Deployment');
  assert.deepEqual([spec.replicas, spec.strategy.rollingUpdate], [3, { maxUnavailable: 0, maxSurge: 1 }]);
  assert.ok(spec.template.spec.volumes.every((volume: Json) => !volume.persistentVolumeClaim));
  assert.equal(objects.get('PodDisruptionBudget').spec.maxUnavailable, 1);
  assert.equal(objects.has('StatefulSet'), false);
});

test('one pod with its volume keeps no node from being drained', () => {
  const objects = objectsOf([]);
  assert.equal(objects.get('StatefulSet').spec.replicas, 1);
  assert.equal(objects.has('PodDisruptionBudget'), false);
  assert.equal(objects.has('Deployment'), false);
});

test('a pod is killed only after Lading has had all its time to end', () => {
  const objects = objectsOf([...replicated, 'shutdown.delaySeconds=7', 'shutdown.timeoutSeconds=600']);
  const { LADING_SHUTDOWN_DELAY, LADING_SHUTDOWN_TIMEOUT } = objects.get('ConfigMap').data;
  assert.deepEqual([LADING_SHUTDOWN_DELAY, LADING_SHUTDOWN_TIMEOUT], ['7s', '600s']);
  assert.ok(workloadOf(objects).spec.template.spec.terminationGracePeriodSeconds > 607);
});

test('a pod is not root, writes nowhere but to its volumes, and is told of no Service', () => {
  for (const settings of [[], replicated]) {
    const pod = workloadOf(objectsOf(settings)).spec.template.spec;
    // LADING_PORT of a Service that is called lading would stop the start.
    assert.equal(pod.enableServiceLinks, false);
    assert.deepEqual([pod.securityContext.runAsNonRoot, pod.securityContext.runAsUser], [true, 10001]);
    assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
    assert.deepEqual(pod.containers[0].securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  }
});

test('a changed setting rolls the pods, an unchanged one does not', () => {
  const checksum = (...settings: string[]) =>
    workloadOf(objectsOf(settings)).spec.template.metadata.annotations['checksum/config'];
  assert.equal(checksum(), checksum('service.port=81'));
  assert.notEqual(checksum(), checksum('settings.LADING_LOG_LEVEL=debug'));
});

test('no secret is in a ConfigMap, in an argument or in plain sight', () => {
  const objects = objectsOf(replicated.concat('metrics.existingSecret=metrics', 'storage.existingSecret=keys'));
  const [container] = workloadOf(objects).spec.template.spec.containers;
  const names = ['LADING_DATABASE_URL', 'LADING_BOOTSTRAP_KEY', 'LADING_METRICS_TOKEN'];
  for (const name of [...names, 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) {
    const entry = container.env.find((one: Json) => one.name === name);
    assert.ok(entry?.valueFrom.secretKeyRef, name);
    assert.equal(entry.value, undefined);
    assert.equal(name in objects.get('ConfigMap').data, false);
  }
});

test('the chart, the image and the program say one version', () => {
  const versionIn = (file: string, pattern: RegExp) =>
    pattern.exec(readFileSync(join(chart, '../../..', file), 'utf8'))?.[1];
  const version = versionIn('package.json', /"version": "([^"]+)"/);
  assert.ok(version);
  assert.equal(versionIn('deploy/helm/lading/Chart.yaml', /^appVersion: (.+)$/m), version);
  assert.equal(versionIn('Dockerfile', /^ARG VERSION=(.+)$/m), version);
  assert.equal(versionIn('compose.yaml', /image: lading:(.+)$/m), version);
  assert.equal(versionIn('compose.single.yaml', /image: lading:(.+)$/m), version);
});
