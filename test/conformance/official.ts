import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { cleanEnvironment, type Lading, startLading } from '../servers/lading.ts';

// The suites of the distribution specification, run by hand (`npm run test:official`). They are not among the modules
// that the Go proxy serves, so `.ci/install` cannot bring them; what they check, `*.test.ts` beside this file check too.
//   LADING_TEST_CONFORMANCE       the suite of the main branch
//   LADING_TEST_CONFORMANCE_V1_1  the test program of v1.1.1

function requireProgram(name: string): string {
  const program = process.env[name];
  if (program === undefined) throw new Error(`Set ${name} to the built program of the suite.`);
  return program;
}

type Outcome = { code: number; text: string };

async function start(t: TestContext): Promise<{ lading: Lading; results: string }> {
  const lading = await startLading();
  const results = await mkdtemp(join(tmpdir(), 'lading-conformance-'));
  t.after(async () => {
    await lading.stop();
    await rm(results, { recursive: true, force: true });
  });
  return { lading, results };
}

function run(program: string, cwd: string, env: Record<string, string>): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { cwd, env: { ...cleanEnvironment(), ...env }, maxBuffer: 64_000_000, timeout: 300_000 };
    execFile(program, [], options, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, text: stdout + stderr }),
    );
  });
}

const modes: Record<string, { env: Record<string, string>; isInformative?: boolean }> = {
  stable: { env: {} },
  dev: { env: { OCI_VERSION: 'dev' } },
  'dev with sparse indexes': { env: { OCI_VERSION: 'dev', OCI_DATA_SPARSE: 'true' }, isInformative: true },
};

for (const [name, { env, isInformative }] of Object.entries(modes)) {
  test(`the official suite, ${name}`, async (t) => {
    const program = requireProgram('LADING_TEST_CONFORMANCE');
    const { lading, results } = await start(t);
    const { code, text } = await run(program, results, {
      OCI_REGISTRY: lading.host,
      OCI_TLS: 'disabled',
      OCI_REPO1: 'default/conformance/one',
      OCI_REPO2: 'default/conformance/two',
      OCI_USERNAME: 'conformance',
      OCI_PASSWORD: lading.key,
      // With its cache the suite mounts with a token that does not name the source, and such a token opens none.
      OCI_CACHE_AUTH: 'false',
      ...env,
    });
    for (const line of summarize(text)) t.diagnostic(line);
    if (isInformative) return;
    assert.equal(code, 0, text);
    assert.match(text, /OCI Conformance Result: Pass/, text);
    // A skip does not fail the suite, so a feature that is missing would pass unseen.
    const unexpected = summarize(text).filter((line) => /(Skip|FAIL|Error)$/.test(line));
    assert.deepEqual(unexpected, [], text);
  });
}

/** The lines that say how many checks ended how, and which parts did not pass. */
function summarize(text: string): string[] {
  return text
    .split('\n')
    .filter((line) =>
      /Conformance Result|^ +(Pass|FAIL|Skip|Error|Disabled|Total) *: +\d+$|: +(Skip|FAIL|Error)$/.test(line),
    );
}

test('the suite of version 1.1.1', async (t) => {
  const program = requireProgram('LADING_TEST_CONFORMANCE_V1_1');
  const { lading, results } = await start(t);
  const { code, text } = await run(program, results, {
    OCI_ROOT_URL: lading.url,
    OCI_NAMESPACE: 'default/conformance/old',
    OCI_CROSSMOUNT_NAMESPACE: 'default/conformance/old-two',
    OCI_AUTOMATIC_CROSSMOUNT: '1',
    OCI_USERNAME: 'conformance',
    OCI_PASSWORD: lading.key,
    OCI_TEST_PULL: '1',
    OCI_TEST_PUSH: '1',
    OCI_TEST_CONTENT_DISCOVERY: '1',
    OCI_TEST_CONTENT_MANAGEMENT: '1',
    OCI_REPORT_DIR: 'none',
  });
  const summary = /\d+ Passed.*$/m.exec(text)?.[0] ?? text.slice(-2000);
  t.diagnostic(stripVTControlCharacters(summary));
  assert.equal(code, 0, text);
});
