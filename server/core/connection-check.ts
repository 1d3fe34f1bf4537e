import { inTurn } from './check-turns.ts';
import type { Row } from './connection-rows.ts';
import { toUpstreamTargets } from './connection-targets.ts';
import type { Platform } from './platform.ts';
import {
  type ConnectionSecret,
  type UpstreamCheck,
  type UpstreamStep,
  type UpstreamStepResult,
  type UpstreamTarget,
  upstreamSteps,
} from './upstream.ts';

export type CheckOutcome = Omit<UpstreamCheck, 'steps'> & {
  passed: boolean;
  failedStep: UpstreamStep | null;
  /** For people: what is wrong, or what has been proven. */
  message: string;
  steps: readonly UpstreamStepResult[];
};

/** What opens a connection, as it is stored or as it shall be. */
export type Opening = { username: string; secret: ConnectionSecret | null };

/** Asks each host that the connection leads to. What fails there is a value. Throws `throttled`. */
export async function checkConnection(platform: Platform, row: Row, opening: Opening): Promise<CheckOutcome> {
  const targets = toUpstreamTargets(row, opening);
  const checks = await Promise.all(
    targets.map((target) => inTurn(platform, row.team_id, () => platform.upstream.check(target))),
  );
  return toOutcome(targets, checks);
}

/** Pure. Of several hosts the first step that fails anywhere decides, and its message names the host. */
function toOutcome(targets: readonly UpstreamTarget[], checks: readonly UpstreamCheck[]): CheckOutcome {
  const hosts = targets.map(({ host }) => host);
  const steps = upstreamSteps.map((step) => joinStep(step, hosts, checks));
  const failed = steps.find(({ result }) => result === 'failed');
  const limits = checks.flatMap(({ rateLimit }) => rateLimit ?? []).sort((a, b) => a.remaining - b.remaining);
  const ends = checks.flatMap(({ credentialsExpireAt }) => credentialsExpireAt ?? []);
  return {
    passed: !failed,
    failedStep: failed?.step ?? null,
    message: failed?.message ?? toSuccess(targets, steps),
    steps,
    latencyMs: Math.max(0, ...checks.map(({ latencyMs }) => Math.round(latencyMs))),
    rateLimit: limits[0] ?? null,
    credentialsExpireAt: ends.length === 0 ? null : Math.min(...ends),
  };
}

function joinStep(step: UpstreamStep, hosts: readonly string[], checks: readonly UpstreamCheck[]): UpstreamStepResult {
  const found = checks.map(({ steps }) => steps.find((one) => one.step === step));
  const resultOf = (result: UpstreamStepResult['result']) =>
    found.flatMap((one, i) => (one?.result === result ? i : []));
  const [failed, passed] = [resultOf('failed'), resultOf('passed')];
  const result = failed.length > 0 ? 'failed' : passed.length > 0 ? 'passed' : 'skipped';
  const those = { failed, passed, skipped: resultOf('skipped') }[result];
  const said = those.map((i) => naming(hosts[i] ?? '', hosts.length, found[i]?.message ?? ''));
  // What is said of all in the same words is said once.
  const messages = new Set(those.map((i) => found[i]?.message ?? ''));
  const isOneMessage = those.length === hosts.length && messages.size === 1;
  return { step, result, message: isOneMessage ? [...messages].join('') : said.join(' ') };
}

function naming(host: string, hostCount: number, message: string): string {
  return hostCount === 1 || message.includes(host) ? message : `${host}: ${message}`;
}

/** What has been proven, in the words of the steps that prove it: not every registry can tell whether a password is right. */
function toSuccess(targets: readonly UpstreamTarget[], steps: readonly UpstreamStepResult[]): string {
  const telling = targets.some(({ namespace }) => namespace !== '') ? ['token', 'namespace'] : ['token'];
  const said = steps.filter(({ step, message }) => telling.includes(step) && message !== '');
  return said.map(({ message }) => message).join(' ');
}
