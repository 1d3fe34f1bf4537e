// What people give to reach a cluster, checked once: an address, whom to trust there, and either a token or a client
// certificate with its key.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { Failure } from './failure.ts';
import type { OutboundTls } from './outbound.ts';

export type ClusterCredentials = { token: string } | { certificatePem: string; keyPem: string };

/** `caPem` null: the public authorities. */
export type ClusterAccess = { server: string; caPem: string | null; credentials: ClusterCredentials };

/** Throws `invalid` and names the field by its JSON pointer; the value is never repeated. */
export function refuseField(pointer: string, said: string): never {
  throw new Failure('invalid', `${pointer.slice(1).replaceAll('/', '.')} ${said}.`, {
    about: 'cluster',
    fields: { [pointer]: said },
  });
}

/** `https://host[:port][/path]`, without a slash at its end. Clusters behind a proxy have a path. */
export function parseServer(text: string, pointer: string): string {
  const url = URL.canParse(text) && text.length <= 2000 ? new URL(text) : undefined;
  const isPlain = url && !url.username && !url.password && !url.search && !url.hash;
  if (!isPlain || url.protocol !== 'https:') {
    return refuseField(pointer, 'must be the URL of the API server: https://, a host, perhaps a port and a path');
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const pemLengthMax = 64 * 1024;

/** One or more certificates, and nothing else between them but blanks. */
export function parseCertificates(text: string, pointer: string): string {
  const blocks = text.length <= pemLengthMax ? (text.match(certificateBlock) ?? []) : [];
  const rest = text.replace(certificateBlock, '').trim();
  if (blocks.length === 0 || rest !== '' || !blocks.every(isCertificate)) {
    return refuseField(pointer, 'must be one or more certificates in PEM form, at most 64 KiB');
  }
  return `${blocks.join('\n')}\n`;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

export function parseClusterToken(text: string, pointer: string): string {
  if (text.length <= 16 * 1024 && /^[\x21-\x7e]+$/.test(text)) return text;
  return refuseField(pointer, 'must be printable characters without blanks, at most 16 KiB');
}

export function parseClientCertificate(
  certificateText: string,
  keyText: string,
  pointers: { certificate: string; key: string },
): { certificatePem: string; keyPem: string } {
  const certificatePem = parseCertificates(certificateText, pointers.certificate);
  const isPair = keyText.length <= pemLengthMax && isKeyOf(certificatePem, keyText);
  if (!isPair)
    return refuseField(pointers.key, 'must be the private key of the certificate in PEM form, without a password');
  return { certificatePem, keyPem: keyText };
}

function isKeyOf(certificatePem: string, keyPem: string): boolean {
  try {
    return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    return false;
  }
}

export function toOutboundTls({ caPem, credentials }: ClusterAccess): OutboundTls {
  const pinned = caPem === null ? {} : { caPem };
  return 'token' in credentials ? pinned : { ...pinned, ...credentials };
}
