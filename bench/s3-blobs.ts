import { type Connection, requestHead } from './connection.ts';
import { type Blob, expect, type PushWay, pushBlob, repositoryOf } from './push.ts';
import { type Server, scopeOf } from './servers.ts';

// Blobs of a registry, or the same bytes in the S3 server itself: there by the one request that a client of S3 would send,
// signed in its URL and outside the clock.

const repository = 'blobs';

export type ReadyPush = (connection: Connection) => Promise<unknown>;

export async function readyPush(server: Server, blob: Blob, way: PushWay = 'put'): Promise<ReadyPush> {
  if (server.name !== 'S3') {
    const headers = await server.authorize([scopeOf(server, repository)]);
    return (connection) => pushBlob(connection, repositoryOf(server, repository), blob, headers, way);
  }
  const head = requestHead('PUT', await signedPath(server, 'PUT', blob), {
    Host: hostOf(server),
    'Content-Length': blob.size,
  });
  return async (connection) => expect(await connection.upload(head, blob.chunks()), 200, 'PUT of an object');
}

export async function readyGet(server: Server, blob: Blob): Promise<Buffer> {
  if (server.name === 'S3') {
    return requestHead('GET', await signedPath(server, 'GET', blob), { Host: hostOf(server) });
  }
  const headers = await server.authorize([scopeOf(server, repository)]);
  return requestHead('GET', `/v2/${repositoryOf(server, repository)}/blobs/${blob.digest}`, headers);
}

function signedPath({ bucket }: Server, method: 'GET' | 'PUT', { digest }: Blob): Promise<string> {
  if (!bucket) throw new Error('only a server on S3 has a bucket');
  return bucket.signedPath(method, digest.replace(':', '/'));
}

const hostOf = ({ port }: Server) => `127.0.0.1:${port}`;
