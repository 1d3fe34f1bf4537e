import { isFault, type OutboundAnswer, type OutboundFault } from '#core/outbound.ts';
import { providerRules } from '#core/providers.ts';
import { type UpstreamCheck, type UpstreamStep, type UpstreamStepResult, upstreamSteps } from '#core/upstream.ts';
import { type Access, authorize, isDenial } from './access.ts';
import type { Conversation } from './conversation.ts';
import { findExpiry } from './expiry.ts';
import { objectOf } from './json-answer.ts';
import { checkNamespace } from './namespace.ts';
import { toTrouble } from './sentences.ts';
import { type LogIn, type Note, signIn } from './sign-in.ts';

export const notTried = 'Not tried: an earlier step failed.';

/** Each step as a pull would take it. The first that fails is the last that is tried. */
export async function checkRegistry(talk: Conversation, logIn: LogIn): Promise<UpstreamCheck> {
  const noted = new Map<UpstreamStep, UpstreamStepResult>();
  const note: Note = (step, result, message) => noted.set(step, { step, result, message });
  const access = await enter(talk, logIn, note);
  let credentialsExpireAt: number | null = null;
  if (access) {
    const { result, message } = await checkNamespace(talk, access);
    note('namespace', result, message);
    await askForRateLimit(talk, access);
    const { credentials } = talk.target;
    if (credentials) credentialsExpireAt = await findExpiry(talk, access, credentials);
  }
  const steps = upstreamSteps.map((step) => noted.get(step) ?? { step, result: 'skipped' as const, message: notTried });
  return { steps, latencyMs: talk.latencyMs(), rateLimit: talk.rateLimit(), credentialsExpireAt };
}

/** Undefined: a step failed. */
async function enter(talk: Conversation, logIn: LogIn, note: Note): Promise<Access | undefined> {
  const { host, scheme } = talk.target;
  const answer = await talk.ask({ url: new URL('/v2/', talk.registry) });
  const furthest = isFault(answer) ? failingStep(answer) : 'registry';
  if (furthest === 'reach') return void note('reach', 'failed', messageOf(answer));
  note('reach', 'passed', `${host} answers.`);
  if (furthest === 'tls') return void note('tls', 'failed', messageOf(answer));
  if (scheme === 'https') note('tls', 'passed', `${host} has a certificate that is trusted.`);
  else note('tls', 'skipped', `${host} is spoken to without encryption, as the operator allowed.`);
  if (isFault(answer)) return void note('registry', 'failed', answer.message);
  const trouble = toRegistryTrouble(host, answer);
  if (trouble !== undefined) return void note('registry', 'failed', trouble);
  note('registry', 'passed', `${host} speaks the registry API.`);
  return signIn(talk, { logIn, note, ping: answer });
}

const messageOf = (answer: OutboundAnswer | OutboundFault) => ('message' in answer ? answer.message : '');

/** A server that is silent reads like one that refuses: both were not reached. */
function failingStep({ failedAt }: OutboundFault): UpstreamStep {
  if (['url', 'dns', 'address', 'connect', 'timeout'].includes(failedAt)) return 'reach';
  return failedAt === 'tls' ? 'tls' : 'registry';
}

/** Undefined: this is a registry's answer to `GET /v2/`. */
function toRegistryTrouble(host: string, answer: OutboundAnswer): string | undefined {
  const { status, headers, body } = answer;
  if (status === 401) return undefined;
  if (status === 200) {
    const isRegistry = headers['docker-distribution-api-version'] !== undefined || body.length === 0;
    if (isRegistry || objectOf(answer)) return undefined;
    return `${host} answers, but not as a registry does. Check the host.`;
  }
  if (status === 404) return `${host} answers, but there is no registry API at /v2/ (404). Check the host.`;
  if (status === 403) return `${host} refuses to be asked from here (403). See which addresses it admits.`;
  return toTrouble(host, answer);
}

const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** HEAD, because GET counts as a pull. The conversation keeps what the answer tells. */
async function askForRateLimit(talk: Conversation, access: Access): Promise<void> {
  const { rateLimitRepository } = providerRules[talk.target.provider];
  if (rateLimitRepository === null) return;
  const headers = await authorize(talk, access, `repository:${rateLimitRepository}:pull`);
  if (isDenial(headers)) return;
  const url = new URL(`/v2/${rateLimitRepository}/manifests/latest`, talk.registry);
  await talk.ask({ method: 'HEAD', url, headers: { ...headers, accept: manifestTypes } });
}
