import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeTestDirectory, type Scope } from '../database.ts';

export type Authority = {
  caPem: string;
  /** `subjectAltName`: `IP:127.0.0.1`, `DNS:example.com`. A certificate without any is a client's. */
  issue(name: string, options?: { altName?: string; days?: number }): { certificatePem: string; keyPem: string };
};

/** A certificate authority of its own, made by openssl. */
export function makeAuthority(t: Scope, name = 'Test CA'): Authority {
  const directory = makeTestDirectory(t);
  const path = (file: string) => join(directory, file);
  const read = (file: string) => readFileSync(path(file), 'utf8');
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const ca = ['-subj', `/CN=${name}`, '-keyout', path('ca.key'), '-out', path('ca.pem')];
  openssl('req', '-x509', ...newKey, '-days', '2', '-addext', 'basicConstraints=critical,CA:TRUE', ...ca);
  let count = 0;
  return {
    caPem: read('ca.pem'),
    issue(name, { altName, days = 1 } = {}) {
      const file = `issued-${++count}`;
      openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', path(`${file}.key`), '-out', path(`${file}.csr`));
      writeFileSync(path(`${file}.ext`), altName ? `subjectAltName=${altName}\n` : 'basicConstraints=CA:FALSE\n');
      const issuer = ['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-extfile', path(`${file}.ext`)];
      openssl('x509', '-req', '-in', path(`${file}.csr`), ...issuer, '-days', `${days}`, '-out', path(`${file}.pem`));
      return { certificatePem: read(`${file}.pem`), keyPem: read(`${file}.key`) };
    },
  };
}
