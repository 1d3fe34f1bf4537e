// Amazon's side of ECR's token call: the signature is computed here once more from the published algorithm (Signature
// Version 4), not by the library that signed.

import { createHash, createHmac } from 'node:crypto';
import type { Instead, SeenRequest } from './registry.ts';

type Signing = {
  method: string;
  path: string;
  /** Lower-case names, and those that are signed alone. */
  headers: Readonly<Record<string, string>>;
  body: string;
  region: string;
  service: string;
  secretAccessKey: string;
};

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();

export function signatureOf({ method, path, headers, body, region, service, secretAccessKey }: Signing): string {
  const url = new URL(path, 'http://x');
  const names = Object.keys(headers).toSorted();
  const query = [...url.searchParams]
    .map((pair) => pair.map(encodeURIComponent).join('='))
    .toSorted()
    .join('&');
  const canonical = [
    method,
    url.pathname,
    query,
    ...names.map((name) => `${name}:${headers[name]?.trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    sha256(body),
  ].join('\n');
  const time = headers['x-amz-date'] ?? '';
  const scope = [time.slice(0, 8), region, service, 'aws4_request'];
  const text = ['AWS4-HMAC-SHA256', time, scope.join('/'), sha256(canonical)].join('\n');
  const key = scope.reduce((parent: string | Buffer, word) => hmac(parent, word), `AWS4${secretAccessKey}`);
  return hmac(key, text).toString('hex');
}

export type EcrAccount = {
  /** As its name is signed, without the port that it has here. */
  host: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  now: () => number;
  /** What user `AWS` opens registries with, and until when. */
  password: string;
  expiresAt: number;
};

const fault = (type: string): Instead => ({
  status: 400,
  headers: { 'content-type': 'application/x-amz-json-1.1' },
  body: JSON.stringify({ __type: type, message: `${type}: the request is not as it should be` }),
});

const mustBeSigned = ['content-type', 'host', 'x-amz-date', 'x-amz-target'];

export function answerAsEcr(seen: SeenRequest, account: EcrAccount): Instead {
  const { method, path, body } = seen;
  const all: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...seen.headers, host: account.host })) all[name] = String(value);
  const target = 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken';
  if (method !== 'POST' || path !== '/' || all['x-amz-target'] !== target) return fault('UnknownOperationException');
  if (all['content-type'] !== 'application/x-amz-json-1.1') return fault('SerializationException');
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/ecr\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/;
  const [, id, day, region, names = '', signature] = pattern.exec(all.authorization ?? '') ?? [];
  const headers = Object.fromEntries(names.split(';').map((name) => [name, all[name] ?? '']));
  if (mustBeSigned.some((name) => !(name in headers))) return fault('IncompleteSignatureException');
  const time = all['x-amz-date'] ?? '';
  const today = new Date(account.now()).toISOString().replace(/[:-]|\.\d+/g, '');
  if (time.slice(0, 11) !== today.slice(0, 11) || time.slice(0, 8) !== day) return fault('InvalidSignatureException');
  if (id !== account.accessKeyId) return fault('UnrecognizedClientException');
  const { secretAccessKey } = account;
  const expected = signatureOf({
    method,
    path,
    headers,
    body,
    region: account.region,
    service: 'ecr',
    secretAccessKey,
  });
  if (region !== account.region || signature !== expected) return fault('InvalidSignatureException');
  JSON.parse(body);
  const authorizationToken = Buffer.from(`AWS:${account.password}`).toString('base64');
  const data = { authorizationToken, expiresAt: account.expiresAt / 1000, proxyEndpoint: 'https://x' };
  return { status: 200, body: JSON.stringify({ authorizationData: [data] }) };
}
