import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scope } from '../database.ts';

export type Authority = {
  caPem: string;
  /** `subjectAltName`: `IP:127.0.0.1`, `DNS:example.com`. A certificate without any is a client's. */
  issue(name: string, options?: { altName?: string; days?: number }): { certificatePem: string; keyPem: string };
};

/** Of tests that are over, by name: openssl takes longer than most of what is done with its work. */
const free = new Map<string, Authority[]>();

/** A certificate authority that no other running test of this process has, made by openssl. */
export function makeAuthority(t: Scope, name = 'Test CA'): Authority {
  const authorities = free.getOrInsertComputed(name, () => []);
  const authority = authorities.pop() ?? newAuthority(name);
  t.after(() => authorities.push(authority));
  return authority;
}

function newAuthority(name: string): Authority {
  const directory = mkdtempSync(join(tmpdir(), 'lading-test-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const path = (file: string) => join(directory, file);
  const read = (file: string) => readFileSync(path(file), 'utf8');
  const ca = ['-subj', `/CN=${name}`, '-keyout', path('ca.key'), '-out', path('ca.pem')];
  openssl('req', '-x509', ...newKey, '-days', '2', '-addext', 'basicConstraints=critical,CA:TRUE', ...ca);
  const issued = new Map<string, ReturnType<Authority['issue']>>();
  const issue: Authority['issue'] = (name, { altName, days = 1 } = {}) =>
    issued.getOrInsertComputed(JSON.stringify([name, altName, days]), () => {
      const file = `issued-${issued.size}`;
      openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', path(`${file}.key`), '-out', path(`${file}.csr`));
      writeFileSync(path(`${file}.ext`), altName ? `subjectAltName=${altName}\n` : 'basicConstraints=CA:FALSE\n');
      const issuer = ['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-extfile', path(`${file}.ext`)];
      openssl('x509', '-req', '-in', path(`${file}.csr`), ...issuer, '-days', `${days}`, '-out', path(`${file}.pem`));
      return { certificatePem: read(`${file}.pem`), keyPem: read(`${file}.key`) };
    });
  return { caPem: read('ca.pem'), issue };
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'ignore' });
}
