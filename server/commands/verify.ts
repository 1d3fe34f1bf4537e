import { type Checked, type Finding, verify } from '#core/verify.ts';
import { type Environment, readConfig } from '#server/config.ts';
import { requireInstallation } from '#server/data-dir.ts';
import { openLog } from '#server/log.ts';
import { openForInspection } from '#server/open-platform.ts';
import { openSecrets } from '#server/seal.ts';
import { printFaults } from './config.ts';

export type VerifyFlags = {
  deep?: boolean | undefined;
  repair?: boolean | undefined;
  yes?: boolean | undefined;
  json?: boolean | undefined;
};

/** `lading verify`, beside a server at work or without one. Answers 0: well, 1: something was found, 2: could not look. */
export async function verifyInstallation(environment: Environment, flags: VerifyFlags): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  requireInstallation(answer.config);
  // Beside the report on the other stream, and only what went wrong.
  const log = openLog({ level: 'warn', stream: process.stderr });
  const { platform, close } = await openForInspection(
    answer.config,
    log,
    openSecrets(answer.config, answer.config.dataDir),
  );
  const findings: Finding[] = [];
  try {
    const { deep = false, repair = false, yes: isSure } = flags;
    const checked = await verify({ platform, deep, repair, isSure, report: (finding) => findings.push(finding) });
    const print = () => toReport(checked, findings, flags).join('\n');
    console.log(flags.json ? JSON.stringify({ checked, findings }, null, 2) : print());
  } finally {
    await close();
  }
  return findings.length > 0 ? 1 : 0;
}

function toReport(checked: Checked, findings: readonly Finding[], flags: VerifyFlags): string[] {
  const looked = describeLook(checked, flags);
  if (findings.length === 0) return [looked, 'All is well.'];
  const shown = findings.slice(0, rowsShown);
  const rest = findings.length - shown.length;
  const more = rest > 0 ? [`and ${rest} more (--json has all)`] : [];
  return [
    looked,
    '',
    ...toTable(shown),
    ...more,
    '',
    `${count(findings.length, 'finding')}.`,
    ...advise(checked, findings, flags),
  ];
}

const rowsShown = 50;

function describeLook(checked: Checked, { deep }: VerifyFlags): string {
  const looked = [
    count(checked.registries, 'registry', 'registries'),
    count(checked.repositories, 'repository', 'repositories'),
    count(checked.manifests, 'manifest'),
    count(checked.blobs, 'blob'),
    count(checked.secrets, 'sealed secret'),
  ].join(', ');
  const read = deep ? `reading ${count(checked.bytesRead, 'byte')}` : 'without reading their bytes (--deep does)';
  return `Looked at ${looked} and ${count(checked.objects, 'object')}, ${read}.`;
}

const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** What helps, of what was found. */
function advise({ objects }: Checked, findings: readonly Finding[], { repair }: VerifyFlags): string[] {
  const has = (...kinds: Finding['kind'][]) => findings.some(({ kind }) => kinds.includes(kind));
  const repaired = findings.filter((finding) => finding.repair !== undefined).length;
  const lines: string[] = [];
  if (repaired > 0) lines.push(`${repaired} of them ${repaired === 1 ? 'was' : 'were'} repaired.`);
  if (!repair && !findings.every(({ kind }) => notRepaired.has(kind))) lines.push(repairAdvice);
  const missing = findings.filter(({ kind }) => kind === 'object missing').length;
  if (missing * 2 > objects) lines.push(placeAdvice);
  if (has('blob lost') || findings.some((finding) => finding.repair === 'marked as lost')) lines.push(pushAdvice);
  if (has('object in doubt')) lines.push('What is in doubt was left as it is: run this again when the store answers.');
  if (has('manifest damaged')) lines.push('A damaged manifest is mended by deleting the image and pushing it again.');
  if (has('secrets lost')) lines.push(lostAdvice);
  return lines;
}

const notRepaired: ReadonlySet<Finding['kind']> = new Set([
  'blob lost',
  'blob size',
  'manifest damaged',
  'object in doubt',
  'secrets lost',
]);

const repairAdvice =
  '--repair corrects counters, marks blobs whose bytes are gone or damaged as lost, and takes that back where they are there.';
const placeAdvice =
  'Most objects are missing: look first whether LADING_STORAGE_URL (its bucket and prefix) or LADING_DATA_DIR names the place that the servers use.';
const pushAdvice =
  'A blob that is lost comes back when an image that has it is pushed again. Or delete the images that name it and collect garbage: then it is reported no more.';
const lostAdvice =
  'The server does not start with secrets that nothing opens. Put the right master key back; docs/configuration.md, "A lost master key", says what to do without it.';

function toTable(findings: readonly Finding[]): string[] {
  const head = ['finding', 'of', 'expected', 'found', 'done'];
  const rows = findings.map(({ kind, what, expected, found, repair = '' }) => [kind, what, expected, found, repair]);
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
