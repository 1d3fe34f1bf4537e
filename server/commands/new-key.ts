import { makeOwnerKey } from '#core/bootstrap.ts';
import { type Environment, readConfig } from '#server/config.ts';
import { requireInstallation } from '#server/data-dir.ts';
import { openLog } from '#server/log.ts';
import { openForInspection } from '#server/open-platform.ts';
import { printFaults } from './config.ts';

/** `lading new-key --team x`: the way back in for a team whose keys are all lost or ended. Answers the exit code. */
export async function newKey(
  environment: Environment,
  { team }: { team: string },
  { print = console.log, explain = console.error } = {},
): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  requireInstallation(answer.config);
  const { platform, close } = await openForInspection(
    answer.config,
    openLog({ level: 'warn', stream: process.stderr }),
  );
  try {
    const secret = await makeOwnerKey(platform, { team });
    explain(
      `A new owner's API key of the team ${team}, shown this once. It does not end; revoke it when it has done its work.`,
    );
    print(secret);
    return 0;
  } finally {
    await close();
  }
}
