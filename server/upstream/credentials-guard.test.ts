import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UpstreamTarget } from '#core/upstream.ts';
import { mayHaveCredentials } from './credentials-guard.ts';

const may = (registry: string, realm: string, change: Partial<UpstreamTarget> = {}) =>
  mayHaveCredentials(new URL(realm), new URL(registry), {
    provider: 'oci',
    scheme: 'https',
    host: new URL(registry).host,
    namespace: '',
    credentials: { username: 'alice', password: 'secret' },
    tokenHost: null,
    awsRegion: null,
    ...change,
  });

// CVE-2026-33540, CVE-2026-48978: whoever answers for a registry had its credentials sent anywhere.
test('credentials go to a token service of the same owner and to no other', () => {
  const cases: [registry: string, realm: string, boolean][] = [
    ['https://r.example.com', 'https://r.example.com/token', true],
    ['https://r.example.com', 'https://auth.example.com/token', true],
    ['https://r.example.com:5000', 'https://example.com:8443/jwt/auth', true],
    ['https://r.example.com', 'https://R.EXAMPLE.COM./token', true],
    ['https://registry.example.co.uk', 'https://auth.example.co.uk/', true],
    ['https://registry.example.co.uk', 'https://other.co.uk/', false],
    ['https://r.example.com', 'https://r.example.com.evil.test/', false],
    ['https://r.example.com', 'https://evil-example.com/', false],
    ['https://r.example.com', 'https://example.org/', false],
    ['https://r.example.com', 'https://localhost/', false],
    ['https://r.example.com', 'https://127.0.0.1/', false],
    ['https://a.github.io', 'https://b.github.io/', false],
    ['https://a.github.io', 'https://auth.a.github.io/', true],
    ['https://one.azurewebsites.net', 'https://two.azurewebsites.net/', false],
    ['https://github.io', 'https://evil.github.io/', false],
    ['https://com', 'https://evil.com/', false],
  ];
  for (const [registry, realm, expected] of cases) assert.equal(may(registry, realm), expected, `${registry} ${realm}`);
});

test('an address, localhost and a name of a private network answer for their own port alone', () => {
  const cases: [registry: string, realm: string, boolean][] = [
    ['https://192.0.2.7:5000', 'https://192.0.2.7:5000/token', true],
    ['https://192.0.2.7:5000', 'https://192.0.2.7:5001/token', false],
    ['https://192.0.2.7', 'https://192.0.2.8/token', false],
    ['https://192.0.2.7', 'https://10.0.2.7/token', false],
    ['https://[2001:db8::1]', 'https://[2001:db8::1]/token', true],
    ['https://[2001:db8::1]', 'https://[2001:db8::2]/token', false],
    ['https://localhost:5000', 'https://localhost:5000/token', true],
    ['https://localhost:5000', 'https://localhost:5001/token', false],
    ['https://registry.corp', 'https://registry.corp/token', true],
    ['https://registry.corp', 'https://auth.corp/token', false],
    // Two namespaces of one cluster.
    ['https://registry.a.svc.cluster.local', 'https://tokens.b.svc.cluster.local/', false],
  ];
  for (const [registry, realm, expected] of cases) assert.equal(may(registry, realm), expected, `${registry} ${realm}`);
});

test('credentials go over TLS, or as openly as the registry is asked, on its own host', () => {
  assert.equal(may('https://r.example.com', 'http://r.example.com/token'), false);
  assert.equal(may('https://r.example.com', 'http://auth.example.com/token', { tokenHost: 'auth.example.com' }), false);
  assert.equal(may('http://r.example.com:5000', 'http://r.example.com:5000/token'), true);
  assert.equal(may('http://r.example.com:5000', 'http://auth.example.com:5000/token'), false);
  assert.equal(may('http://r.example.com:5000', 'https://auth.example.com/token'), true);
  assert.equal(may('http://10.0.0.7:5000', 'http://10.0.0.7:5001/token'), false);
  assert.equal(may('http://10.0.0.7:5000', 'http://10.0.0.7:5001/token', { tokenHost: '10.0.0.7:5001' }), true);
});

test('a token service elsewhere is named by the connection or known for the provider', () => {
  const tokenHost = 'tokens.example.org';
  assert.equal(may('https://r.example.com', 'https://tokens.example.org/', { tokenHost }), true);
  assert.equal(may('https://r.example.com', 'https://tokens.example.org:8443/', { tokenHost }), false);
  assert.equal(may('https://r.example.com', 'https://x.tokens.example.org/', { tokenHost }), false);
  assert.equal(may('https://registry-1.docker.io', 'https://auth.docker.io/token', { provider: 'dockerhub' }), true);
  assert.equal(may('https://registry-1.docker.io', 'https://auth.docker.com/token', { provider: 'dockerhub' }), false);
});
