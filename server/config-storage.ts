import { Failure } from '#core/failure.ts';
import { parseSwitch } from './config-values.ts';

/** A place for objects in S3. Without region, and for credentials, the AWS environment is asked. */
export type ConfiguredStorage = {
  bucket: string;
  /** Without slashes at its ends; empty: the whole bucket. */
  prefix: string;
  endpoint: string | undefined;
  region: string | undefined;
  isPathStyle: boolean;
};

const parameters = ['endpoint', 'region', 'path-style'];
const form = 's3://bucket/prefix?endpoint=https://s3.example.com&region=eu-1&path-style=true';

/** Throws `invalid`. The text is not quoted: somebody may have put a secret into it. */
export function parseStorageUrl(text: string): ConfiguredStorage {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 's3:') throw refuse(`It is not the URL of a bucket. Use ${form}.`);
  refuseCredentials(url, 'It');
  for (const name of url.searchParams.keys()) {
    if (!parameters.includes(name)) throw refuse(`It has no ${JSON.stringify(name)}. Use ${form}.`);
    if (url.searchParams.getAll(name).length > 1) throw refuse(`It says ${name} twice. Keep one.`);
  }
  if (url.port !== '' || url.hash !== '') throw refuse(`A bucket has neither port nor fragment. Use ${form}.`);
  return {
    bucket: parseBucket(url.hostname),
    prefix: parsePrefix(url.pathname),
    endpoint: parseEndpoint(url.searchParams.get('endpoint') ?? ''),
    region: parseRegion(url.searchParams.get('region') ?? ''),
    isPathStyle: parseSwitch(url.searchParams.get('path-style') ?? 'false'),
  };
}

function refuseCredentials({ username, password }: URL, what: string): void {
  if (username === '' && password === '') return;
  throw refuse(
    `${what} holds credentials, which whoever sees the configuration would see. Use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another way that AWS clients know.`,
  );
}

function parseBucket(name: string): string {
  if (/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) return name;
  throw refuse(
    `${JSON.stringify(name)} is not the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes.`,
  );
}

function parsePrefix(path: string): string {
  const prefix = path.replace(/^\/+|\/+$/g, '');
  if (prefix.length <= 512 && /^(?:[A-Za-z0-9!_.*'()-]+(?:\/[A-Za-z0-9!_.*'()-]+)*)?$/.test(prefix)) return prefix;
  throw refuse(`${JSON.stringify(prefix)} is not a prefix. Use letters, digits, ! - _ . * ' ( ), and single slashes.`);
}

function parseEndpoint(text: string): string | undefined {
  if (text === '') return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw refuse('Its endpoint is not the URL of a server. Use https://s3.example.com or http://host:port.');
  }
  refuseCredentials(url, 'Its endpoint');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw refuse('Its endpoint has more than scheme, host and port. The bucket comes first: s3://bucket.');
  }
  return url.origin;
}

function parseRegion(text: string): string | undefined {
  if (text === '') return undefined;
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw refuse(`${JSON.stringify(text)} is not a region. Use letters, digits and dashes.`);
}

const refuse = (sentence: string) => new Failure('invalid', sentence);
