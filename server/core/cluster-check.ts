import type { Actor } from './actors.ts';
import { recordAudit } from './audit.ts';
import {
  type ClusterFault,
  createSecret,
  deleteSecret,
  isClusterFault,
  readSecret,
  readVersion,
  replaceSecret,
  type SecretCall,
} from './cluster-api.ts';
import { parseNamespace, parseSecretName } from './cluster-places.ts';
import { findClusterRow, toAccess, toTarget } from './cluster-rows.ts';
import { isManaged } from './cluster-secrets.ts';
import type { OutboundStep } from './outbound.ts';
import { requirePermission } from './permissions.ts';
import type { Platform } from './platform.ts';
import { requireWholeTeam } from './projects.ts';

/** One question and its answer; `skipped` where an earlier one decided. */
export type CheckStep = {
  step: 'reach' | 'tls' | 'version' | 'secrets';
  result: 'passed' | 'failed' | 'skipped';
  message: string;
};

export type ClusterCheck = { passed: boolean; version: string | null; steps: CheckStep[] };

/**
 * Tries what an integration will do, step by step, and changes nothing: writing is asked for as a dry run. What fails is
 * a value. Throws `not_found`, `invalid`.
 */
export async function checkCluster(
  platform: Platform,
  actor: Actor,
  input: { cluster: string; namespace: string; secretName: string },
): Promise<ClusterCheck> {
  requirePermission(actor, 'clusters:write');
  requireWholeTeam(actor, 'test a cluster');
  const place = { namespace: parseNamespace(input.namespace, '/namespace'), name: parseSecretName(input.secretName) };
  const row = await findClusterRow(platform, actor, input.cluster);
  const access = toAccess(platform, row);
  const found = await readVersion(platform, access);
  const version = isClusterFault(found) ? null : found.version;
  const at: SecretCall = { access, ...place };
  const steps = isClusterFault(found)
    ? afterFault(found)
    : [...reached(found.version), await checkSecrets(platform, at)];
  const check = { passed: steps.every((one) => one.result === 'passed'), version, steps };
  const detail = { passed: check.passed, namespace: place.namespace };
  await recordAudit(platform, actor, { action: 'cluster.test', target: toTarget(row), detail });
  return check;
}

const passed = (step: CheckStep['step'], message: string): CheckStep => ({ step, result: 'passed', message });

const reached = (version: string): CheckStep[] => [
  passed('reach', 'The server was reached.'),
  passed('tls', 'Its certificate is trusted.'),
  passed('version', `It is Kubernetes ${version}.`),
];

const reachSteps: readonly OutboundStep[] = ['url', 'dns', 'address', 'connect'];
const order = ['reach', 'tls', 'version', 'secrets'] as const;

/** A time-out may come anywhere; then nothing is known to have gone well. */
function afterFault({ message, failedAt }: ClusterFault): CheckStep[] {
  const isReach = failedAt === 'timeout' || (failedAt !== undefined && reachSteps.includes(failedAt));
  const failing = order.indexOf(isReach ? 'reach' : failedAt === 'tls' ? 'tls' : 'version');
  return order.map((step, i) => {
    if (i === failing) return { step, result: 'failed', message };
    if (i > failing) return { step, result: 'skipped', message: 'Not tried.' };
    return passed(step, step === 'reach' ? 'The server was reached.' : 'Its certificate is trusted.');
  });
}

async function checkSecrets(platform: Platform, at: SecretCall): Promise<CheckStep> {
  const fault = await tryWriting(platform, at);
  if (!fault) return passed('secrets', `Secrets in namespace ${at.namespace} can be read, written and removed.`);
  return { step: 'secrets', result: 'failed', message: fault.message };
}

const content = {
  labels: { 'lading.dev/managed': 'true' },
  type: 'kubernetes.io/dockerconfigjson',
  data: { '.dockerconfigjson': Buffer.from('{"auths":{}}').toString('base64') },
};

async function tryWriting(platform: Platform, at: SecretCall): Promise<ClusterFault | undefined> {
  const read = await readSecret(platform, at);
  if (isClusterFault(read)) return read;
  if (read && !isManaged(read)) {
    return { message: `There is a Secret ${at.name} in namespace ${at.namespace} that Lading did not make.` };
  }
  const write = { ...at, isDryRun: true };
  const written = read
    ? await replaceSecret(platform, { ...write, content: { ...content, type: read.type, data: read.data }, read })
    : ((await createSecret(platform, { ...write, content })) ?? (await tryReplacing(platform, write)));
  return written ?? deleteSecret(platform, { ...at, isDryRun: true });
}

const nothing = { metadata: { resourceVersion: '', uid: '', labels: {}, annotations: {} }, type: '', data: {} };

/** What is not there cannot be replaced; who may not replace it is told so first. */
async function tryReplacing(platform: Platform, at: SecretCall): Promise<ClusterFault | undefined> {
  const fault = await replaceSecret(platform, { ...at, content, read: nothing, isDryRun: true });
  return fault?.status === 404 ? undefined : fault;
}
