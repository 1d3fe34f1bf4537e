import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '#server/config.ts';
import { makeTestDirectory, type Scope } from '#test/database.ts';
import { root, run } from './programs.ts';

// biome-ignore lint/suspicious/noExplicitAny: the model of the Compose specification.
type Json = any;

/** A checkout in which nobody has made an `.env` yet. */
function newCheckout(t: Scope): string {
  const directory = makeTestDirectory(t);
  for (const file of ['compose.yaml', 'compose.single.yaml', 'Dockerfile'])
    cpSync(join(root, file), join(directory, file));
  mkdirSync(join(directory, 'deploy'));
  cpSync(join(root, 'deploy/compose'), join(directory, 'deploy/compose'), { recursive: true });
  return directory;
}

const compose = (cwd: string, ...args: string[]) => run('docker-compose', args, { cwd });
const newEnv = (cwd: string, ...args: string[]) => run(join(cwd, 'deploy/compose/new-env'), args, { cwd });

function modelOf(cwd: string, file: string): Json {
  const { code, output, errors } = compose(cwd, '--file', file, 'config', '--format', 'json');
  assert.equal(code, 0, errors);
  assert.equal(errors, '', 'docker compose config has nothing to warn of');
  return JSON.parse(output);
}

/** What Lading gets there, as it would read it. */
function configOf(model: Json) {
  const answer = readConfig(model.services.lading.environment);
  assert.ok(!('faults' in answer), JSON.stringify(answer));
  return answer.config;
}

const addressesOf = (model: Json) => model.services.proxy.ports.map((port: Json) => port.host_ip);

test('one Lading needs nothing to be made first', (t) => {
  const model = modelOf(newCheckout(t), 'compose.single.yaml');
  const config = configOf(model);
  assert.equal(config.publicUrl, 'http://localhost:8080');
  assert.equal(config.databaseUrl, undefined);
  // Plain HTTP must not leave the machine.
  assert.deepEqual(
    model.services.lading.ports.map((port: Json) => port.host_ip),
    ['127.0.0.1'],
  );
});

test('several Ladings do not start without secrets, and say how to make them', (t) => {
  const { code, errors } = compose(newCheckout(t), 'config');
  assert.notEqual(code, 0);
  assert.match(errors, /run deploy\/compose\/new-env first/);
});

test('with new secrets two Ladings share a database, a bucket and their keys', (t) => {
  const checkout = newCheckout(t);
  assert.equal(newEnv(checkout).code, 0);
  const model = modelOf(checkout, 'compose.yaml');
  const config = configOf(model);
  assert.equal(model.services.lading.deploy.replicas, 2);
  assert.match(config.databaseUrl ?? '', /@postgres:5432\/lading$/);
  assert.equal(config.storage?.endpoint, 'http://s3:7070');
  assert.ok(config.masterKeys && config.bootstrapKey && config.metricsToken);
  const volumes = model.services.lading.volumes ?? [];
  assert.deepEqual(volumes, [], 'no disk is shared');
  // Only the proxy is reached from outside.
  const open = Object.entries<Json>(model.services).filter(([, service]) => service.ports);
  assert.deepEqual(
    open.map(([name]) => name),
    ['proxy'],
  );
  // Without a host there is no certificate, and plain HTTP must not leave the machine.
  assert.deepEqual(addressesOf(model), ['127.0.0.1', '127.0.0.1']);
});

test('every container of ours is read-only, without capabilities, and has longer to end than Lading takes', (t) => {
  const checkout = newCheckout(t);
  newEnv(checkout);
  for (const file of ['compose.yaml', 'compose.single.yaml']) {
    const model = modelOf(checkout, file);
    const { read_only, cap_drop, stop_grace_period } = model.services.lading;
    assert.deepEqual([read_only, cap_drop], [true, ['ALL']], file);
    const { shutdownDelayMs, shutdownTimeoutMs } = configOf(model);
    assert.ok(Number.parseInt(stop_grace_period, 10) * 1000 > shutdownDelayMs + shutdownTimeoutMs, file);
  }
});

test('secrets are new each time, readable by their owner alone, and never overwritten', (t) => {
  const [one, other] = [newCheckout(t), newCheckout(t)];
  assert.deepEqual([newEnv(one).code, newEnv(other).code], [0, 0]);
  const text = readFileSync(join(one, '.env'), 'utf8');
  assert.equal(statSync(join(one, '.env')).mode & 0o777, 0o600);
  const secrets = (text: string) => text.split('\n').filter((line) => /KEY|PASSWORD|TOKEN/.test(line));
  assert.equal(secrets(text).length, 6);
  const others = new Set(secrets(readFileSync(join(other, '.env'), 'utf8')));
  assert.ok(secrets(text).every((line) => !others.has(line)));
  const again = newEnv(one);
  assert.deepEqual([again.code, readFileSync(join(one, '.env'), 'utf8')], [1, text]);
});

test('a host name of its own gets HTTPS', (t) => {
  const checkout = newCheckout(t);
  newEnv(checkout, 'registry.example.com');
  const model = modelOf(checkout, 'compose.yaml');
  assert.equal(configOf(model).publicUrl, 'https://registry.example.com');
  assert.equal(model.services.proxy.environment.SITE, 'registry.example.com');
  const published = model.services.proxy.ports.map((port: Json) => port.published);
  assert.deepEqual(published, ['80', '443']);
  assert.deepEqual(addressesOf(model), ['0.0.0.0', '0.0.0.0']);
});
