import { randomBytes } from 'node:crypto';
import { findFreePort, startChild } from './child.ts';

const region = 'us-east-1';

/** The Versity S3 gateway on a directory. It keeps its metadata in extended attributes of the files there. */
export async function startVersitygw(program: string, place: string) {
  const credentials = {
    accessKeyId: randomBytes(10).toString('hex'),
    secretAccessKey: randomBytes(20).toString('hex'),
  };
  const port = await findFreePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const args = ['--port', `127.0.0.1:${port}`, '--region', region, '--keep-alive', '--quiet', 'posix', place];
  const child = await startChild(program, args, {
    env: {
      ...process.env,
      ROOT_ACCESS_KEY_ID: credentials.accessKeyId,
      ROOT_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
    cwd: place,
    isReady: async () => (await fetch(endpoint)).status === 403,
  });
  return { child, endpoint, region, credentials };
}
