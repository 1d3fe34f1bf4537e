import { type Checked, type Finding, verify } from '#core/verify.ts';
import { type Environment, readConfig } from '#server/config.ts';
import { requireInstallation } from '#server/data-dir.ts';
import { openLog } from '#server/log.ts';
import { openForInspection } from '#server/open-platform.ts';
import { openSecrets } from '#server/seal.ts';
import { printFaults } from './config.ts';

export type VerifyFlags = { deep?: boolean | undefined; repair?: boolean | undefined; json?: boolean | undefined };

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
    const { deep = false, repair = false } = flags;
    const checked = await verify({ platform, deep, repair, report: (finding) => findings.push(finding) });
    console.log(flags.json ? JSON.stringify({ checked, findings }, null, 2) : toReport(checked, findings, flags));
  } finally {
    await close();
  }
  return findings.length > 0 ? 1 : 0;
}

function toReport(checked: Checked, findings: readonly Finding[], { deep, repair }: VerifyFlags): string {
  const { objects, blobs, manifests, repositories, registries, secrets, bytesRead } = checked;
  const looked = `Looked at ${registries} registries, ${repositories} repositories, ${manifests} manifests, ${blobs} blobs, ${secrets} sealed secrets and ${objects} objects${deep ? `, reading ${bytesRead} bytes` : ', without reading their bytes (--deep does)'}.`;
  if (findings.length === 0) return `${looked}\nAll is well.`;
  const repaired = findings.filter((finding) => finding.repair !== undefined).length;
  const advice = repair
    ? `${repaired} of them were repaired.`
    : '--repair corrects counters and marks lost blobs as such.';
  const lost = findings.some(({ kind }) => kind === 'secrets lost') ? [lostAdvice] : [];
  return [looked, '', ...toTable(findings), '', `${findings.length} findings. ${advice}`, ...lost].join('\n');
}

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
