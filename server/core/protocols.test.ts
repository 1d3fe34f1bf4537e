import { test } from 'node:test';
import fc from 'fast-check';
import { type Scope, testDatabaseUrl } from '#test/database.ts';
import { type Program, program, runProgram } from '#test/protocols/program.ts';

// LADING_TEST_RUNS: how many programs; LADING_TEST_SEED: the seed (and with a colon the path) that a failure printed.
// A run takes a tenth of a second on SQLite; a server answers each statement a little later.
const numRuns = Number(process.env.LADING_TEST_RUNS ?? (testDatabaseUrl ? 5 : 15));
const [seed, ...path] = (process.env.LADING_TEST_SEED ?? '').split(':');

test('whatever happens at once, crashes or waits, rows and bytes agree and what was promised stays', async () => {
  const property = fc.asyncProperty(program, runAlone);
  const again = seed ? { seed: Number(seed), path: path.join(':') } : {};
  // A server answers in an order of its own: a smaller program would rarely fail there, and trying looks like a hang.
  const endOnFailure = testDatabaseUrl !== undefined;
  await fc.assert(property, { numRuns, ...again, endOnFailure, interruptAfterTimeLimit: 10 * 60_000 });
});

/** With a database and a store of its own, which end with the run. */
async function runAlone(program: Program): Promise<void> {
  const ends: (() => unknown)[] = [];
  const scope: Scope = { after: (work) => ends.push(work) };
  try {
    await runProgram(scope, program);
  } finally {
    for (const end of ends) await end();
  }
}
