import { createHash, createHmac } from 'node:crypto';

// AWS Signature Version 4, for the few requests that are made past the AWS client. In its words: a canonical request is
// hashed, and the hash is signed with a key made for the day, the region and the service.

export type Credentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string | undefined };
export type Signer = { credentials: Credentials; region: string };

/** Path and query are as they go over the wire: escaped where they have to be, the query in the order of the alphabet. */
export type ToSign = { method: string; host: string; path: string; query?: string; at: Date };

export const unsignedPayload = 'UNSIGNED-PAYLOAD';
const algorithm = 'AWS4-HMAC-SHA256';

/** The headers of a request, its signature among them. `payload` is the hash of the body in hex, or `unsignedPayload`. */
export function signHeaders(signer: Signer, request: ToSign, payload: string, range?: string): Record<string, string> {
  const { sessionToken } = signer.credentials;
  // In the order of the alphabet, as they are signed.
  const headers: Record<string, string> = {
    host: request.host,
    ...(range !== undefined && { range }),
    'x-amz-content-sha256': payload,
    'x-amz-date': timeOf(request.at),
    ...(sessionToken !== undefined && { 'x-amz-security-token': sessionToken }),
  };
  const names = Object.keys(headers).join(';');
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonical = `${request.method}\n${request.path}\n${request.query ?? ''}\n${lines.join('')}\n${names}\n${payload}`;
  const credential = `${signer.credentials.accessKeyId}/${scopeOf(signer, request.at)}`;
  const signature = sign(signer, request.at, canonical);
  headers.authorization = `${algorithm} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return headers;
}

/** The query of a URL at which whoever has it may send the request. `query` is added and signed with it. */
export function signQuery(
  signer: Signer,
  request: ToSign,
  seconds: number,
  query: Readonly<Record<string, string>> = {},
): string {
  const { accessKeyId, sessionToken } = signer.credentials;
  const parameters = {
    'X-Amz-Algorithm': algorithm,
    'X-Amz-Content-Sha256': unsignedPayload,
    'X-Amz-Credential': `${accessKeyId}/${scopeOf(signer, request.at)}`,
    'X-Amz-Date': timeOf(request.at),
    'X-Amz-Expires': String(seconds),
    ...(sessionToken !== undefined && { 'X-Amz-Security-Token': sessionToken }),
    'X-Amz-SignedHeaders': 'host',
    ...query,
  };
  const signed = Object.entries(parameters)
    .map(([name, value]) => `${escaped(name)}=${escaped(value)}`)
    .sort()
    .join('&');
  const canonical = `${request.method}\n${request.path}\n${signed}\nhost:${request.host}\n\nhost\n${unsignedPayload}`;
  return `${signed}&X-Amz-Signature=${sign(signer, request.at, canonical)}`;
}

function sign(signer: Signer, at: Date, canonical: string): string {
  const hashed = createHash('sha256').update(canonical).digest('hex');
  const text = `${algorithm}\n${timeOf(at)}\n${scopeOf(signer, at)}\n${hashed}`;
  return createHmac('sha256', signingKey(signer, dayOf(at)))
    .update(text)
    .digest('hex');
}

let lastKey: { secret: string; region: string; day: string; key: Buffer } | undefined;

/** Of the day: four HMACs that all requests until midnight have in common. */
function signingKey({ credentials: { secretAccessKey: secret }, region }: Signer, day: string): Buffer {
  if (lastKey?.secret === secret && lastKey.region === region && lastKey.day === day) return lastKey.key;
  const steps = [day, region, 's3', 'aws4_request'];
  const key = steps.reduce(
    (made, step) => createHmac('sha256', made).update(step).digest(),
    Buffer.from(`AWS4${secret}`),
  );
  lastKey = { secret, region, day, key };
  return key;
}

const timeOf = (at: Date) => at.toISOString().replace(/[:-]|\.\d{3}/g, '');
const dayOf = (at: Date) => timeOf(at).slice(0, 8);
const scopeOf = ({ region }: Signer, at: Date) => `${dayOf(at)}/${region}/s3/aws4_request`;

/** All but what RFC 3986 calls unreserved. */
function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
