import { randomUUID, sign, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeTestDirectory, type Scope } from '../database.ts';
import { type Authority, makeAuthority } from './certificates.ts';
import { findFreePort, startChild } from './child.ts';
import { type Grant, type ScriptedRegistry, startRegistry } from './registry.ts';

/** Debian's `docker-registry` in a process of its own. `host` is `127.0.0.1:PORT`. */
export type DockerRegistry = { host: string };

type Door = { auth?: object; tls?: { certificate: string; key: string } };

/** Several may share one directory of content. */
async function startDockerRegistry(t: Scope, root: string, { auth, tls }: Door): Promise<DockerRegistry> {
  const directory = makeTestDirectory(t);
  const host = `127.0.0.1:${await findFreePort()}`;
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: root } },
    http: { addr: host, ...(tls && { tls }) },
    ...(auth && { auth }),
  };
  // JSON is YAML.
  const path = join(directory, 'config.json');
  writeFileSync(path, JSON.stringify(config));
  // Where it speaks TLS it says to plain HTTP that this is a mistake, and that is as much of a sign.
  const isReady = async () => (await fetch(`http://${host}/v2/`)).status < 500;
  const child = await startChild('docker-registry', ['serve', path], { cwd: directory, isReady });
  t.after(() => child.stop());
  return { host };
}

/** A line of htpasswd with `correct horse`; neither docker-registry nor zot takes anything but bcrypt. */
export const bcryptOfAlice = 'alice:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n';

export type DockerRegistries = {
  open: DockerRegistry;
  /** alice, with the password `correct horse`. */
  withPassword: DockerRegistry;
  withToken: DockerRegistry;
  /** `withPassword` over TLS, with a certificate of this authority for 127.0.0.1. */
  encrypted: DockerRegistry;
  caPem: string;
  /** Where `withToken` sends everybody. Its users and rights are a test's to set. */
  tokenService: ScriptedRegistry;
  /** Makes the service sign with keys that `withToken` does not know, or with its own again. */
  signWith: (whose: 'own' | 'strange') => void;
};

/** The same content behind each of the doors. */
export async function startDockerRegistries(t: Scope): Promise<DockerRegistries> {
  const [root, files] = [makeTestDirectory(t), makeTestDirectory(t)];
  const [own, strange] = [makeAuthority(t), makeAuthority(t, 'Stranger')].map(openSigner);
  const tokenService = await startRegistry(t);
  const path = (name: string, text: string) => {
    writeFileSync(join(files, name), text);
    return join(files, name);
  };
  const signWith = (whose: 'own' | 'strange') => {
    tokenService.toToken = (whose === 'own' ? own : strange)?.signGrant ?? tokenService.toToken;
  };
  signWith('own');
  const token = {
    realm: `${tokenService.url}/token`,
    service: 'docker-registry',
    issuer,
    rootcertbundle: path('ca.pem', own?.caPem ?? ''),
  };
  const htpasswd = { htpasswd: { realm: 'r', path: path('htpasswd', bcryptOfAlice) } };
  const authority = makeAuthority(t, 'Registry');
  const { certificatePem, keyPem } = authority.issue('registry', { altName: 'IP:127.0.0.1' });
  const tls = { certificate: path('cert.pem', certificatePem), key: path('key.pem', keyPem) };
  return {
    open: await startDockerRegistry(t, root, {}),
    withPassword: await startDockerRegistry(t, root, { auth: htpasswd }),
    withToken: await startDockerRegistry(t, root, { auth: { token } }),
    encrypted: await startDockerRegistry(t, root, { auth: htpasswd, tls }),
    caPem: authority.caPem,
    tokenService,
    signWith,
  };
}

const issuer = 'token service of a test';

/** Tokens as the distribution spec has them, with the certificate of their key inside. */
export function openSigner(authority: Authority) {
  const { certificatePem, keyPem } = authority.issue('tokens');
  const x5c = [new X509Certificate(certificatePem).raw.toString('base64')];
  const signGrant = ({ user, repositories, mayList }: Grant): string => {
    const now = Math.floor(Date.now() / 1000);
    const access = repositories.map((name) => ({ type: 'repository', name, actions: ['pull'] }));
    const catalog = mayList ? [{ type: 'registry', name: 'catalog', actions: ['*'] }] : [];
    const times = { iat: now, nbf: now - 10, exp: now + 300 };
    const claims = { iss: issuer, sub: user, aud: 'docker-registry', jti: randomUUID(), ...times };
    const parts = [
      { typ: 'JWT', alg: 'ES256', x5c },
      { ...claims, access: [...access, ...catalog] },
    ];
    const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = sign('sha256', Buffer.from(text), { key: keyPem, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  };
  return { caPem: authority.caPem, certificatePem, signGrant };
}
