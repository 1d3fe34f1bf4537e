// npm run test:all [file…]
// The tests of everything that touches the database, on SQLite and then on a PostgreSQL started for the purpose.

import { spawn } from 'node:child_process';
import { startPostgres } from '#test/servers/postgres.ts';

const files = process.argv.length > 2 ? process.argv.slice(2) : ['server/**/*.test.ts', 'test/*.test.ts'];

async function runTests(engine: string, environment: NodeJS.ProcessEnv): Promise<boolean> {
  console.log(`\n== ${engine}`);
  const child = spawn(process.execPath, ['--test', ...files], {
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code === 0));
  });
}

async function runTestsOnPostgres(): Promise<boolean> {
  const postgres = await startPostgres();
  try {
    return await runTests('PostgreSQL', { LADING_TEST_DATABASE_URL: postgres.url });
  } finally {
    await postgres.stop();
  }
}

// An empty URL would be an address; without the variable the tests make their SQLite files.
delete process.env.LADING_TEST_DATABASE_URL;
const results = [await runTests('SQLite', {}), await runTestsOnPostgres()];
process.exitCode = results.every(Boolean) ? 0 : 1;
