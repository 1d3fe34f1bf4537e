import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { Signer, ToSign } from './s3-signature.ts';

/** Where the AWS client would send a request for an object, and with what it would sign it. */
export type Place = {
  isTls: boolean;
  origin: string;
  /** Of an object, escaped. */
  pathOf: (key: string) => string;
  /** Asked anew for each request: credentials may change, and the client learns how far its clock is off. */
  signer: () => Promise<Signer>;
  toSign: (method: string, key: string) => ToSign;
};

const probe = 'probe';

/** The client alone knows all the rules by which an endpoint is chosen: it is asked for one URL. */
export async function findPlace(client: S3Client, bucket: string, prefix: string, now: () => number): Promise<Place> {
  const Key = prefix === '' ? probe : `${prefix}/${probe}`;
  const url = new URL(await getSignedUrl(client, new GetObjectCommand({ Bucket: bucket, Key })));
  const { config } = client;
  const region = await config.region();
  const base = url.pathname.slice(0, -probe.length);
  const pathOf = (key: string) => base + key;
  return {
    isTls: url.protocol === 'https:',
    origin: url.origin,
    pathOf,
    signer: async () => ({ credentials: await config.credentials(), region }),
    toSign: (method, key) => ({
      method,
      host: url.host,
      path: pathOf(key),
      // What the store itself has said of our clock counts more than what the database says.
      at: new Date(config.systemClockOffset === 0 ? now() : Date.now() + config.systemClockOffset),
    }),
  };
}
