import { sentenceForOperator } from '#core/failure.ts';
import type { Log } from '#core/platform.ts';
import type { HealthCheck, HealthChecks } from './health.ts';

/** The same checks, which say in the log when one begins to fail, or fails in another way, and when it is well again. */
export function tellChecks(checks: HealthChecks, log: Log): HealthChecks {
  return Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, tellCheck(name, check, log)]));
}

function tellCheck(name: string, check: HealthCheck, log: Log): HealthCheck {
  let said: string | undefined;
  return async () => {
    try {
      await check();
    } catch (error) {
      const sentence = sentenceForOperator(error as Error);
      if (said !== sentence) log.error({ check: name }, `not ready: ${sentence}`);
      said = sentence;
      throw error;
    }
    if (said !== undefined) log.info({ check: name }, `ready again: the ${name} is well`);
    said = undefined;
  };
}
