import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findFreePort, startChild } from './child.ts';

const region = 'us-east-1';

/** Garage as a cluster of one node (decision 0033). Its keys have a form, and may not make buckets until they are let. */
export async function startGarage(program: string, place: string) {
  const credentials = {
    accessKeyId: `GK${randomBytes(12).toString('hex')}`,
    secretAccessKey: randomBytes(32).toString('hex'),
  };
  const [port, rpcPort] = [await findFreePort(), await findFreePort()];
  const endpoint = `http://127.0.0.1:${port}`;
  const config = join(place, 'garage.toml');
  await writeFile(config, configOf(place, port, rpcPort), { mode: 0o600 });
  const env = {
    ...process.env,
    GARAGE_CONFIG_FILE: config,
    GARAGE_DEFAULT_ACCESS_KEY: credentials.accessKeyId,
    GARAGE_DEFAULT_SECRET_KEY: credentials.secretAccessKey,
    RUST_LOG: 'garage=warn',
  };
  const child = await startChild(program, ['server', '--single-node', '--default-access-key'], {
    env,
    cwd: place,
    isReady: async () => {
      await promisify(execFile)(program, ['key', 'allow', '--create-bucket', credentials.accessKeyId], { env });
      return (await fetch(endpoint)).status === 403;
    },
  });
  return { child, endpoint, region, credentials };
}

function configOf(place: string, port: number, rpcPort: number): string {
  return `
metadata_dir = "${place}/meta"
data_dir = "${place}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:${rpcPort}"
rpc_public_addr = "127.0.0.1:${rpcPort}"
rpc_secret = "${randomBytes(32).toString('hex')}"
[s3_api]
s3_region = "${region}"
api_bind_addr = "127.0.0.1:${port}"
`;
}
