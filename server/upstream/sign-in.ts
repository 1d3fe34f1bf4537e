import { isFault, type OutboundAnswer } from '#core/outbound.ts';
import { providerRules } from '#core/providers.ts';
import {
  type HostCredentials,
  isUpstreamFault,
  type UpstreamFault,
  type UpstreamLogin,
  type UpstreamStep,
  type UpstreamStepResult,
} from '#core/upstream.ts';
import { type Access, authorize, chooseAccess, isDenial, type Offer, readOffer, toBasic } from './access.ts';
import type { Conversation } from './conversation.ts';
import { needsEcrLogin } from './ecr.ts';
import { claimsOf } from './jwt.ts';
import { repositoryScopeOf } from './namespace.ts';
import { isRefusal, toRefusal, toTrouble } from './sentences.ts';

export type Note = (step: UpstreamStep, result: UpstreamStepResult['result'], message: string) => void;

/** What opens the registry now, of what is stored. */
export type LogIn = (credentials: HostCredentials) => Promise<UpstreamLogin | UpstreamFault>;

/** `ping`: what `GET /v2/` answered without credentials. */
type SigningIn = { logIn: LogIn; note: Note; ping: OutboundAnswer };

/** The steps `challenge` and `token`. Undefined: one of them failed. */
export async function signIn(talk: Conversation, { logIn, note, ping }: SigningIn): Promise<Access | undefined> {
  const { host } = talk.target;
  if (ping.status === 200) {
    note('challenge', 'skipped', `${host} asks for no credentials at /v2/.`);
    return tryUnasked(talk, logIn, note);
  }
  const offer = readOffer(ping);
  if (!offer) {
    const hasAny = ping.headers['www-authenticate'] !== undefined;
    const how = hasAny ? 'in a way that container clients do not know' : 'but does not say how they are to be sent';
    return void note('challenge', 'failed', `${host} asks for credentials, ${how}. Check the host.`);
  }
  note('challenge', 'passed', toChallengeSentence(host, offer));
  const credentials = await openedBy(talk, logIn, note);
  if (credentials === undefined) return undefined;
  const access = chooseAccess(talk, offer, credentials);
  if ('step' in access) return void note('token', 'failed', access.message);
  return prove(talk, access, note);
}

function toChallengeSentence(host: string, { bearer }: Offer): string {
  if (!bearer) return `${host} asks for a user name and a password.`;
  return `${host} asks for a token of ${bearer.realm.host.slice(0, 253)}.`;
}

/** Undefined: the step `token` failed. */
async function openedBy(talk: Conversation, logIn: LogIn, note: Note): Promise<HostCredentials | null | undefined> {
  const { credentials } = talk.target;
  if (credentials === null) return null;
  const login = await logIn(credentials);
  return isUpstreamFault(login) ? void note('token', 'failed', login.message) : login;
}

/** Whoever lets everybody in may still refuse wrong credentials; that he does not proves nothing. */
async function tryUnasked(talk: Conversation, logIn: LogIn, note: Note): Promise<Access | undefined> {
  const { host, provider } = talk.target;
  const credentials = await openedBy(talk, logIn, note);
  if (credentials === undefined) return undefined;
  if (credentials === null) {
    note('token', 'skipped', `${host} lets everybody in.`);
    return { kind: 'open', credentials };
  }
  const answer = await ping(talk, toBasic(credentials));
  if (isFault(answer)) return void note('token', 'failed', answer.message);
  if (isRefusal(answer)) return void note('token', 'failed', toRefusal(host, answer, provider, true));
  if (answer.status !== 200) return void note('token', 'failed', toTrouble(host, answer));
  note(
    'token',
    'skipped',
    `${host} lets everybody in, so it cannot be told whether the user name and the password are right.`,
  );
  return { kind: 'open', credentials };
}

const ping = (talk: Conversation, authorization: string | undefined) =>
  talk.ask({ url: new URL('/v2/', talk.registry), ...(authorization !== undefined && { headers: { authorization } }) });

/** A token that a service gave is only worth what the registry lets it do. */
async function prove(talk: Conversation, access: Access, note: Note): Promise<Access | undefined> {
  const { host, provider, credentials } = talk.target;
  const headers = await authorize(talk, access, credentials === null ? repositoryScopeOf(talk.target) : undefined);
  if (isDenial(headers)) return void note('token', 'failed', headers.message);
  if (credentials === null) {
    // At /v2/ some registries refuse anonymous tokens that open public repositories.
    note('token', 'passed', `${host} gives a token to everybody.`);
    return access;
  }
  const answer = await ping(talk, headers.authorization);
  if (isFault(answer)) return void note('token', 'failed', answer.message);
  if (isRefusal(answer)) {
    const sentence =
      access.kind === 'bearer'
        ? `${host} does not accept the token that its token service gave (${answer.status}). Ask who runs the registry.`
        : toRefusal(host, answer, provider, true);
    return void note('token', 'failed', sentence);
  }
  if (answer.status !== 200) return void note('token', 'failed', toTrouble(host, answer));
  const { result, message } = await judge(talk, access, headers.authorization);
  note('token', result, message);
  return result === 'passed' ? access : undefined;
}

/** What it proves that the registry let us in. */
async function judge(
  talk: Conversation,
  access: Access,
  authorization: string | undefined,
): Promise<Omit<UpstreamStepResult, 'step'>> {
  const { host, provider } = talk.target;
  const passed = (message: string) => ({ result: 'passed' as const, message });
  if (needsEcrLogin(talk.target)) return passed(`AWS gave a token for the access key, and ${host} accepts it.`);
  const accepted = passed(`${host} accepts the user name and the password.`);
  if (access.kind !== 'bearer' || providerRules[provider].refusesWrongCredentials) return accepted;
  const stranger = await authorize(talk, { ...access, authorization: undefined });
  if (isDenial(stranger)) return accepted;
  const [subject, strangers] = [authorization, stranger.authorization].map(subjectOf);
  // In the distribution spec's tokens nobody is the empty subject.
  if (subject === '' && strangers === '') {
    return { result: 'failed', message: toRefusal(host, { status: 200 }, provider, true) };
  }
  if (typeof subject === 'string' && subject !== strangers) return accepted;
  const service = access.realm.host.slice(0, 253);
  return passed(
    `${host} takes the token, but ${service} gives one to everybody: it cannot be told whether the user name and the password are right.`,
  );
}

/** Whom a token says that it was made for. */
const subjectOf = (authorization: string | undefined): unknown =>
  claimsOf(authorization?.replace(/^Bearer /, '') ?? '')?.sub;
