import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loopback, openTestPlatform } from '#test/platform.ts';
import { parsePlace, readPlace } from './connection-url.ts';
import type { Failure } from './failure.ts';
import { type Provider, providerRules, providers } from './providers.ts';

test('the host is made of the URL as a browser would make it, and the URL is kept as it was given', () => {
  const cases: [string, string, 'http' | 'https'][] = [
    ['ghcr.io', 'ghcr.io', 'https'],
    ['GHCR.io', 'ghcr.io', 'https'],
    ['ghcr.io.', 'ghcr.io', 'https'],
    ['https://ghcr.io./v2/', 'ghcr.io', 'https'],
    ['https://ghcr.io:443/v2', 'ghcr.io', 'https'],
    ['HTTPS://Registry.Example.com:5000/team/', 'registry.example.com:5000', 'https'],
    ['registry.example.com:5000', 'registry.example.com:5000', 'https'],
    ['registry.example.com.:5000', 'registry.example.com:5000', 'https'],
    ['http://registry.example.com', 'registry.example.com', 'http'],
    ['http://registry.example.com:80', 'registry.example.com', 'http'],
    ['http://registry.example.com:443', 'registry.example.com:443', 'http'],
    ['localhost:5000', 'localhost:5000', 'https'],
    ['https://0x7f.1', '127.0.0.1', 'https'],
    ['2130706433', '127.0.0.1', 'https'],
    ['[::1]:5000', '[::1]:5000', 'https'],
    ['[0:0::1]', '[::1]', 'https'],
    [' ghcr.io ', 'ghcr.io', 'https'],
    ['bücher.example', 'xn--bcher-kva.example', 'https'],
  ];
  for (const [url, host, scheme] of cases) assert.deepEqual(readPlace(url), { url, host, scheme }, url);
});

test('what is no host is refused, and not repeated: it may be a secret in the wrong field', () => {
  const bad = [
    '',
    ' ',
    'https://',
    'https:///',
    'ftp://ghcr.io',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'https://me:secret@ghcr.io',
    'me@ghcr.io',
    'https://ghcr.io?token=secret',
    'https://ghcr.io#secret',
    'a b',
    'a\nb',
    'ghcr.io/\ud800',
    'exa mple.com',
    'https://ghcr.io:99999',
    '[::1',
    'x'.repeat(2001),
    'unix:///var/run/docker.sock',
    'gopher://x',
    'data:,x',
    '*.example.com',
    "https://o'hara.example",
    '__proto__',
  ];
  for (const url of bad) {
    assert.throws(
      () => readPlace(url),
      (failure: Failure) => failure.reason === 'invalid' && !failure.message.includes('secret'),
      url.slice(0, 40),
    );
  }
});

const good: Readonly<Record<Provider, readonly string[]>> = {
  dockerhub: ['docker.io', 'https://index.docker.io/v1/', 'registry-1.docker.io', 'hub.docker.com'],
  ghcr: ['ghcr.io', 'https://ghcr.io/acme'],
  gcr: ['gcr.io', 'eu.gcr.io', 'us.gcr.io/project', 'asia.gcr.io'],
  'artifact-registry': ['europe-west3-docker.pkg.dev', 'https://us-docker.pkg.dev/project/repository'],
  ecr: ['123456789012.dkr.ecr.eu-west-1.amazonaws.com', '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn'],
  acr: ['acme.azurecr.io', 'acme.azurecr.cn'],
  gitlab: ['registry.gitlab.com', 'gitlab.example.com:5050'],
  digitalocean: ['registry.digitalocean.com'],
  quay: ['quay.io', 'quay.example.com'],
  oci: ['registry.example.com', 'ghcr.io'],
};
const bad: Readonly<Partial<Record<Provider, readonly string[]>>> = {
  dockerhub: ['ghcr.io', 'docker.io.example.com', 'xdocker.io', 'docker.io:5000'],
  ghcr: ['ghcr.io.evil.example', 'xghcr.io', 'github.com', 'ghcr.io:8443'],
  gcr: ['gcr.io.example.com', 'x.gcr.io', 'gcr.example.com'],
  'artifact-registry': ['docker.pkg.dev', 'a.b-docker.pkg.dev', 'x-docker.pkg.dev.example.com'],
  ecr: [
    'dkr.ecr.eu-west-1.amazonaws.com',
    '123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example',
    'public.ecr.aws',
  ],
  acr: ['azurecr.io', 'a.b.azurecr.io', 'acme.azurecr.io.example.com'],
  digitalocean: ['digitalocean.com', 'registry.digitalocean.com:444'],
};

test('a provider with hosts of its own takes those and no others, and says which', async (t) => {
  const platform = await openTestPlatform(t);
  for (const provider of providers) {
    for (const url of good[provider]) assert.equal(parsePlace(platform, provider, url).url, url);
    for (const url of bad[provider] ?? []) {
      assert.throws(() => parsePlace(platform, provider, url), { reason: 'invalid', message: /^url must be / }, url);
    }
    const { defaultUrl, host } = providerRules[provider];
    if (defaultUrl) parsePlace(platform, provider, defaultUrl);
    assert.equal(host === null, bad[provider] === undefined, `${provider} has wrong hosts to try`);
  }
});

test('plain http is for hosts that the operator named, and for no others', async (t) => {
  const strict = await openTestPlatform(t);
  const open = await openTestPlatform(t, {}, { allowed: loopback });
  assert.throws(() => parsePlace(strict, 'oci', 'http://127.0.0.1:5000'), { message: /LADING_UPSTREAM_ALLOW/ });
  assert.equal(parsePlace(open, 'oci', 'http://127.0.0.1:5000').scheme, 'http');
  assert.equal(parsePlace(open, 'oci', 'http://0x7f000001:5000').scheme, 'http');
  assert.throws(() => parsePlace(open, 'oci', 'http://registry.example.com'), { message: /LADING_UPSTREAM_ALLOW/ });
});
