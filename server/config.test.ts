import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Config, type Environment, readConfig, regionsOf } from './config.ts';

function configOf(environment: Environment): Config {
  const answer = readConfig(environment);
  assert.ok('config' in answer, JSON.stringify(answer));
  return answer.config;
}

function faultsOf(environment: Environment): readonly string[] {
  const answer = readConfig(environment);
  assert.ok('faults' in answer, 'the configuration was taken');
  return answer.faults;
}

test('an empty environment is a complete configuration', () => {
  const config = configOf({});
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 8080 });
  assert.equal(config.registryLimitBytes, 20 * 1024 ** 3);
  assert.equal(config.registriesPerTeam, 100);
  assert.equal(config.auditRetentionDays, 365);
  assert.deepEqual(config.trustedProxies, []);
  assert.deepEqual(regionsOf(config), [{ id: 'local', name: 'Local', host: '127.0.0.1:8080' }]);
});

test('a setting that is empty counts as not set', () => {
  assert.equal(configOf({ LADING_LISTEN: '', LADING_PUBLIC_URL: ' ' }).publicUrl, undefined);
});

const values: readonly [Environment, keyof Config, unknown][] = [
  [{ LADING_LISTEN: '[::1]:5000' }, 'listen', { host: '::1', port: 5000 }],
  [{ LADING_LISTEN: ':5000' }, 'listen', { host: '::', port: 5000 }],
  [{ LADING_LISTEN: 'localhost:0' }, 'listen', { host: 'localhost', port: 0 }],
  [{ LADING_PUBLIC_URL: 'https://Registry.Example.com/' }, 'publicUrl', 'https://registry.example.com'],
  [{ LADING_REGISTRY_LIMIT: '1000' }, 'registryLimitBytes', 1000],
  [{ LADING_REGISTRY_LIMIT: '1.5 GiB' }, 'registryLimitBytes', 1.5 * 1024 ** 3],
  [{ LADING_REGISTRY_LIMIT: '2TB' }, 'registryLimitBytes', 2e12],
  [{ LADING_LOG_LEVEL: 'WARN' }, 'logLevel', 'warn'],
  [
    { LADING_REGIONS: '[{"id":"eu","name":"Europe","host":"EU.example.com:443"},{"id":"us","host":"us.example.com"}]' },
    'regions',
    [
      { id: 'eu', name: 'Europe', host: 'eu.example.com:443' },
      { id: 'us', name: 'us', host: 'us.example.com' },
    ],
  ],
];
for (const [environment, key, expected] of values) {
  test(`${JSON.stringify(environment)} is read`, () => assert.deepEqual(configOf(environment)[key], expected));
}

const refused: readonly [string, string][] = [
  ['LADING_LISTEN', '8080'],
  ['LADING_LISTEN', 'host:70000'],
  ['LADING_LISTEN', '[localhost]:80'],
  ['LADING_PUBLIC_URL', 'registry.example.com'],
  ['LADING_PUBLIC_URL', 'https://registry.example.com/path'],
  ['LADING_PUBLIC_URL', 'https://user:secret@registry.example.com'],
  ['LADING_PUBLIC_URL', 'ftp://registry.example.com'],
  ['LADING_DATABASE_URL', 'mysql://localhost/lading'],
  ['LADING_STORAGE_URL', 'bucket'],
  ['LADING_STORAGE_URL', 'https://bucket.s3.amazonaws.com'],
  ['LADING_STORAGE_URL', 's3:///prefix'],
  ['LADING_STORAGE_URL', 's3://Bucket'],
  ['LADING_STORAGE_URL', 's3://bucket:9000'],
  ['LADING_STORAGE_URL', 's3://bucket/a//b'],
  ['LADING_STORAGE_URL', 's3://bucket/a?b'],
  ['LADING_STORAGE_URL', 's3://bucket?endpoint=minio:9000'],
  ['LADING_STORAGE_URL', 's3://bucket?endpoint=https://s3.example.com/bucket'],
  ['LADING_STORAGE_URL', 's3://bucket?region=eu west'],
  ['LADING_STORAGE_URL', 's3://bucket?region=eu&region=us'],
  ['LADING_STORAGE_URL', 's3://bucket?path-style=yes'],
  ['LADING_STORAGE_URL', 's3://bucket?secret-key=x'],
  ['LADING_STORAGE_REDIRECT', 'yes'],
  ['LADING_BOOTSTRAP_KEY', 'short'],
  ['LADING_BOOTSTRAP_KEY', `${'x'.repeat(40)} ${'x'.repeat(40)}`],
  ['LADING_MASTER_KEY', `k1:${Buffer.alloc(16).toString('base64')}`],
  ['LADING_MASTER_KEY', Buffer.alloc(32).toString('base64')],
  ['LADING_MASTER_KEY', `a:${Buffer.alloc(32).toString('base64')},a:${Buffer.alloc(32, 1).toString('base64')}`],
  ['LADING_REGIONS', '{}'],
  ['LADING_REGIONS', '[]'],
  ['LADING_REGIONS', '[{"id":"eu","host":"https://eu.example.com"}]'],
  ['LADING_REGIONS', '[{"id":"EU","host":"eu.example.com"}]'],
  ['LADING_REGIONS', '[{"id":"eu","host":"a.example.com"},{"id":"eu","host":"b.example.com"}]'],
  ['LADING_REGIONS', '[{"id":"a","host":"a.example.com"},{"id":"b","host":"A.example.com"}]'],
  ['LADING_REGISTRY_LIMIT', '0'],
  ['LADING_REGISTRY_LIMIT', '20 gigs'],
  ['LADING_REGISTRIES_PER_TEAM', '-1'],
  ['LADING_REGISTRIES_PER_TEAM', '1e3'],
  ['LADING_TRUSTED_PROXIES', '*'],
  ['LADING_TRUSTED_PROXIES', '10.0.0.0/33'],
  ['LADING_UPSTREAM_ALLOW', '10.0.0.0/33'],
  ['LADING_UPSTREAM_ALLOW', '10.0.0'],
  ['LADING_UPSTREAM_ALLOW', '10.0.0.256'],
  ['LADING_UPSTREAM_ALLOW', 'https://registry.internal'],
  ['LADING_UPSTREAM_ALLOW', 'registry.internal:70000'],
  ['LADING_UPSTREAM_ALLOW', 'registry.internal/path'],
  ['LADING_UPSTREAM_ALLOW', '*'],
  ['LADING_METRICS_TOKEN', 'short'],
  ['LADING_LOG_LEVEL', 'loud'],
  ['LADING_AUDIT_RETENTION_DAYS', '0'],
  ['LADING_GC_SCHEDULE', 'every night'],
  ['LADING_GC_SCHEDULE', '0 0 31 2 *'],
];
for (const [name, value] of refused) {
  test(`${name}=${value} stops the start and is named`, () => {
    const faults = faultsOf({ [name]: value });
    assert.equal(faults.length, 1);
    assert.match(faults[0] ?? '', new RegExp(`^${name}: `));
  });
}

test('a bucket is read with its endpoint, region and prefix', () => {
  const url = 's3://images/a/b/?endpoint=http://127.0.0.1:9000/&region=eu-1&path-style=true';
  assert.deepEqual(configOf({ LADING_STORAGE_URL: url }).storage, {
    bucket: 'images',
    prefix: 'a/b',
    endpoint: 'http://127.0.0.1:9000',
    region: 'eu-1',
    isPathStyle: true,
  });
  assert.deepEqual(configOf({ LADING_STORAGE_URL: 's3://my.images' }).storage, {
    bucket: 'my.images',
    prefix: '',
    endpoint: undefined,
    region: undefined,
    isPathStyle: false,
  });
});

// `lading config` prints this setting as it stands.
test('credentials in the URL of a bucket are refused, and not repeated', () => {
  for (const url of [
    's3://AKIAEXAMPLE:sEcReT@bucket',
    's3://bucket?endpoint=https://AKIAEXAMPLE:sEcReT@s3.example.com',
    's3://AKIAEXAMPLE:sEcReT@',
  ]) {
    const faults = faultsOf({ LADING_STORAGE_URL: url });
    assert.equal(faults.length, 1);
    assert.doesNotMatch(faults[0] ?? '', /AKIA|sEcReT/);
  }
});

test('redirects without a bucket are a contradiction', () => {
  assert.match(faultsOf({ LADING_STORAGE_REDIRECT: 'true' })[0] ?? '', /needs LADING_STORAGE_URL/);
});

test('servers inside are allowed by range, address, host and port', () => {
  const { upstreamAllow } = configOf({
    LADING_UPSTREAM_ALLOW:
      '10.0.0.0/8, 10.1.2.3,fd00::/8,Registry.Internal., db.internal:5000, 127.0.0.1:6443,[::1]:443',
  });
  assert.deepEqual(upstreamAllow, [
    { range: '10.0.0.0/8' },
    { range: '10.1.2.3/32' },
    { range: 'fd00::/8' },
    { host: 'registry.internal', port: undefined },
    { host: 'db.internal', port: 5000 },
    { host: '127.0.0.1', port: 6443 },
    { host: '::1', port: 443 },
  ]);
});

test('everything that is wrong is said at once', () => {
  const faults = faultsOf({
    LADING_LISTEN: 'x',
    LADING_LOG_LEVEL: 'loud',
    LADING_TLS_CERT: '/cert.pem',
    LADING_MASTER_KEY: `k1:${Buffer.alloc(32).toString('base64')}`,
    LADING_MASTER_KEY_FILE: '/key',
    LADING_PUBLIK_URL: 'https://example.com',
  });
  assert.equal(faults.length, 5);
});

test('an unknown name is refused with the nearest one', () => {
  assert.deepEqual(faultsOf({ LADING_LISTN: ':1' }), ['LADING_LISTN is not a setting. Did you mean LADING_LISTEN?']);
});

test('what is wrong with a secret does not show the secret', () => {
  const secret = 'a-secret-that-leaks';
  for (const name of ['LADING_MASTER_KEY', 'LADING_DATABASE_URL', 'LADING_BOOTSTRAP_KEY', 'LADING_METRICS_TOKEN']) {
    const given = name === 'LADING_METRICS_TOKEN' ? 'leaks' : secret;
    assert.doesNotMatch(faultsOf({ [name]: given }).join(), /leaks/, name);
  }
});

test('without regions there is one, on the host of the public URL', () => {
  const regions = regionsOf(configOf({ LADING_PUBLIC_URL: 'https://registry.example.com' }));
  assert.deepEqual(regions, [{ id: 'local', name: 'Local', host: 'registry.example.com' }]);
});

test('listening on every address, the one region is reached as localhost', () => {
  assert.equal(regionsOf(configOf({ LADING_LISTEN: ':5000' }))[0]?.host, 'localhost:5000');
});
