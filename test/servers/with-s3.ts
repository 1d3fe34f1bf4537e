import { spawn } from 'node:child_process';
import { environmentOn, startS3 } from './s3.ts';

// node test/servers/with-s3.ts npm run test:conformance
// Runs a command with LADING_TEST_STORAGE_URL naming a bucket on an S3 server that lives as long as the command.

const [command, ...args] = process.argv.slice(2);
if (command === undefined) {
  console.error('usage: node test/servers/with-s3.ts <command> [argument…]');
  process.exit(2);
}
const server = await startS3();
const child = spawn(command, args, {
  stdio: 'inherit',
  env: { ...process.env, ...(await environmentOn(server)) },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.once('error', (error) => console.error(error.message));
const code = await new Promise<number>((resolve) => child.once('close', (exitCode) => resolve(exitCode ?? 1)));
await server.stop();
process.exit(code);
