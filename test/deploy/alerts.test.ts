import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { startLading } from '#test/servers/lading.ts';
import { startPostgres } from '#test/servers/postgres.ts';
import { chart, root, run } from './programs.ts';

// What docs/operations.md tells an operator to watch and to write into proxies is there and works.

type Rule = { alert: string; expr: string; labels: { severity: string }; annotations: Record<string, string> };

const document = readFileSync(join(root, 'docs/operations.md'), 'utf8');
const alerts = readFileSync(join(root, 'deploy/prometheus/alerts.yaml'), 'utf8');
const rules: Rule[] = parse(alerts).groups.flatMap((group: { rules: Rule[] }) => group.rules);

test('Prometheus takes the rules, and they speak when they should and not otherwise', () => {
  const checked = run('promtool', ['check', 'rules', 'deploy/prometheus/alerts.yaml']);
  assert.equal(checked.code, 0, checked.output + checked.errors);
  const tested = run('promtool', ['test', 'rules', 'deploy/prometheus/alerts.test.yaml']);
  assert.equal(tested.code, 0, tested.output + tested.errors);
});

test('every alert has a section that says what it means, and every section an alert', () => {
  const sections = [...document.matchAll(/^### (Lading\w+)$/gm)].map(([, name]) => name);
  assert.deepEqual(
    rules.map(({ alert }) => alert),
    sections,
  );
  for (const { alert, annotations, labels } of rules) {
    assert.equal(annotations.runbook_url, `docs/operations.md#${alert.toLowerCase()}`);
    assert.match(labels.severity, /^(?:critical|warning|info)$/);
  }
});

test('every metric that an alert, the document or the dashboard names is one that Lading has', async (t) => {
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const lading = await startLading({ env: { LADING_DATABASE_URL: postgres.url } });
  t.after(() => lading.kill9());
  // Some appear with the first request.
  await fetch(`${lading.url}/v2/`);
  const text = await (await fetch(`${lading.url}/metrics`)).text();
  const names = new Set([...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name));
  assert.ok(names.has('lading_database_waiting'), text);
  const dashboard = readFileSync(join(root, 'deploy/grafana/lading.json'), 'utf8');
  for (const [file, content] of Object.entries({ alerts, document, dashboard })) {
    const named = content.match(/\blading_[a-z0-9_]*[a-z0-9]\b/g) ?? [];
    assert.ok(named.length > 10, file);
    const unknown = named.filter((name) => !names.has(name.replace(/_(?:count|bucket|sum)$/, '')) && !names.has(name));
    assert.deepEqual(unknown, [], file);
  }
  // And what is counted of the database is among what the document tells of.
  const ours = [...names].filter((name) => !/^lading_(?:nodejs|process)_/.test(name ?? ''));
  assert.deepEqual(
    ours.filter((name) => !document.includes(`\`${name}\``)),
    [],
  );
});

test('every panel of the dashboard asks something that Prometheus understands', (t) => {
  const { panels } = JSON.parse(readFileSync(join(root, 'deploy/grafana/lading.json'), 'utf8')) as {
    panels: { targets: { expr: string }[] }[];
  };
  const rules = panels
    .flatMap(({ targets }) => targets)
    .map(({ expr }, i) => ({
      record: `panel:${i}`,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$job', '.*'),
    }));
  assert.ok(rules.length > 20);
  const path = join(makeTestDirectory(t), 'panels.yaml');
  writeFileSync(path, JSON.stringify({ groups: [{ name: 'panels', rules }] }));
  const { code, output, errors } = run('promtool', ['check', 'rules', path]);
  assert.equal(code, 0, output + errors);
});

test('the chart brings the same rules to the operator of Prometheus', () => {
  assert.equal(readFileSync(join(chart, 'files/alerts.yaml'), 'utf8'), alerts);
  const args = ['template', 'r', chart, '--set', 'metrics.prometheusRule.enabled=true'];
  const { code, output, errors } = run('helm', [...args, '--show-only', 'templates/prometheusrule.yaml']);
  assert.equal(code, 0, errors);
  assert.deepEqual(parse(output).spec, parse(alerts));
});

/** A directory with a certificate and its key. */
function makeCertificate(t: Scope): string {
  const directory = makeTestDirectory(t);
  const subject = ['-subj', '/CN=registry.example.com', '-keyout', 'registry.key', '-out', 'registry.pem'];
  const made = run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { cwd: directory });
  assert.equal(made.code, 0, made.errors);
  return directory;
}

test('the configuration of nginx in the document is one that nginx takes', (t) => {
  const [, block = ''] = /^```nginx\n(.*?)^```/ms.exec(document) ?? [];
  assert.match(block, /client_max_body_size 0;/);
  const directory = makeCertificate(t);
  const path = join(directory, 'nginx.conf');
  const here = block.replaceAll('/etc/nginx/', `${directory}/`).replace('listen 443', 'listen 127.0.0.1:443');
  writeFileSync(path, `pid ${directory}/pid; error_log stderr; events {} http { access_log off; ${here} }`);
  const { code, errors } = run('/usr/sbin/nginx', ['-t', '-p', directory, '-c', path]);
  assert.equal(code, 0, errors);
  assert.doesNotMatch(errors, /\[(?:warn|emerg)\]/);
});

test('the configuration of HAProxy in the document is one that HAProxy takes', (t) => {
  const [, block = ''] = /^```haproxy\n(.*?)^```/ms.exec(document) ?? [];
  assert.match(block, /option httpchk GET \/readyz/);
  const directory = makeCertificate(t);
  const path = join(directory, 'haproxy.cfg');
  const pem = ['registry.pem', 'registry.key'].map((name) => readFileSync(join(directory, name), 'utf8')).join('');
  writeFileSync(join(directory, 'both.pem'), pem);
  writeFileSync(path, block.replace('/etc/haproxy/registry.pem', join(directory, 'both.pem')));
  const { code, output, errors } = run('/usr/sbin/haproxy', ['-c', '-f', path]);
  assert.equal(code, 0, output + errors);
  assert.doesNotMatch(output + errors, /\[(?:WARNING|ALERT)\]/);
});

test('the policies of S3 in the document are JSON', () => {
  const blocks = [...document.matchAll(/^ *```json\n(.*?)^ *```/gms)].map(([, block = '']) => JSON.parse(block));
  assert.equal(blocks.length, 2);
});
