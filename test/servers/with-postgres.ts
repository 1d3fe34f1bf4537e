import { spawn } from 'node:child_process';
import { startPostgres } from './postgres.ts';

// node test/servers/with-postgres.ts npm test
// Runs a command with LADING_TEST_DATABASE_URL naming a PostgreSQL that lives as long as the command.

const [command, ...args] = process.argv.slice(2);
if (command === undefined) {
  console.error('usage: node test/servers/with-postgres.ts <command> [argument…]');
  process.exit(2);
}
const postgres = await startPostgres();
const child = spawn(command, args, {
  stdio: 'inherit',
  env: { ...process.env, LADING_TEST_DATABASE_URL: postgres.url },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.once('error', (error) => console.error(error.message));
const code = await new Promise<number>((resolve) => child.once('close', (exitCode) => resolve(exitCode ?? 1)));
await postgres.stop();
process.exit(code);
