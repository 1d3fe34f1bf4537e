import { resolve } from 'node:path';
import { findFaults } from './import-rule.ts';

// `node tools/check-imports.ts [root]`: exit 1 and the path of each import that breaks the dependency rule.

const root = resolve(process.argv[2] ?? `${import.meta.dirname}/..`);
const faults = findFaults(root);
for (const { file, specifier, reason } of faults) {
  console.error(specifier === '' ? `${file}: ${reason}` : `${file} imports ${specifier}: ${reason}`);
}
if (faults.length > 0) {
  console.error('The dependency rule is in docs/architecture.md, its table in tools/import-rule.ts.');
  process.exitCode = 1;
}
