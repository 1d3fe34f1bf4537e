import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  checkDecisions,
  checkLinks,
  checkSettingNames,
  checkSettings,
  checkTree,
  withSettingsTable,
} from './document-checks.ts';
import { checkOpenApi, writeOpenApi } from './openapi-document.ts';

// `node tools/check-docs.ts [root]`: exit 1 and a line for each place where the documents are out of step.
// With `--write`, what is generated is made anew first.

const args = process.argv.slice(2);
const root = resolve(args.find((arg) => !arg.startsWith('--')) ?? `${import.meta.dirname}/..`);

if (args.includes('--write')) {
  const path = join(root, 'docs/configuration.md');
  const document = withSettingsTable(readFileSync(path, 'utf8'));
  if (document !== undefined) writeFileSync(path, document);
  await writeOpenApi(root);
}

const faults = [checkSettings, checkSettingNames, checkTree, checkLinks, checkDecisions]
  .flatMap((check) => check(root))
  .concat(await checkOpenApi(root));
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
