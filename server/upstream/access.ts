import { isFault, type OutboundAnswer } from '#core/outbound.ts';
import type { HostCredentials, UpstreamFault } from '#core/upstream.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { Conversation, Question } from './conversation.ts';
import { isAsSecure, mayHaveCredentials } from './credentials-guard.ts';
import { objectOf } from './json-answer.ts';
import { isRefusal, toRefusal, toTrouble } from './sentences.ts';

/**
 * How a registry is signed in to. `open`: it has asked for nothing yet, and gets the credentials when it does. A token
 * service has no `authorization` where it is asked anonymously.
 */
export type Access =
  | { kind: 'open'; credentials: HostCredentials | null }
  | { kind: 'basic'; authorization: string }
  | { kind: 'bearer'; realm: URL; service: string | undefined; authorization: string | undefined };

/** `isRefusal`: the server understood and said no; otherwise it could not be asked. */
export type Denial = { isRefusal: boolean; message: string };

export const isDenial = (result: object): result is Denial => 'isRefusal' in result;

export const toBasic = ({ username, password }: HostCredentials): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** The ways in that an answer offers and that we know. */
export type Offer = { bearer: { realm: URL; service: string | undefined } | undefined; basic: boolean };

export function readOffer({ headers }: OutboundAnswer): Offer | undefined {
  const challenges = parseChallenges(headers['www-authenticate'] ?? '');
  const bearer = challenges.map(toBearer).find((one) => one !== undefined);
  const basic = challenges.some(({ scheme }) => scheme === 'basic');
  return bearer || basic ? { bearer, basic } : undefined;
}

function toBearer({ scheme, parameters }: Challenge): Offer['bearer'] {
  const realm = parameters.get('realm') ?? '';
  if (scheme !== 'bearer' || !/^https?:\/\//i.test(realm) || !URL.canParse(realm)) return undefined;
  return { realm: new URL(realm), service: parameters.get('service') };
}

/** A token service that may not have the credentials is passed over if the registry takes them itself. */
export function chooseAccess(
  { target, registry }: Conversation,
  { bearer, basic }: Offer,
  credentials: HostCredentials | null,
): Access | UpstreamFault {
  if (credentials === null) {
    if (bearer) return { kind: 'bearer', ...bearer, authorization: undefined };
    return { step: 'token', message: toRefusal(target.host, { status: 401 }, target.provider, false) };
  }
  const authorization = toBasic(credentials);
  if (bearer && mayHaveCredentials(bearer.realm, registry, target)) return { kind: 'bearer', ...bearer, authorization };
  if (basic) return { kind: 'basic', authorization };
  return { step: 'token', message: toGuardRefusal(target.host, bearer?.realm, registry) };
}

function toGuardRefusal(host: string, realm: URL | undefined, registry: URL): string {
  const service = realm?.host.slice(0, 253) ?? '';
  if (realm && !isAsSecure(realm, registry)) {
    return `${host} asks for a token of ${service}, which does not encrypt, so the credentials were not sent there. Its token service must be asked over https.`;
  }
  return `${host} asks for a token of ${service}, which is not evidently its own, so the credentials were not sent there. If you trust it, name ${service} as the token host of the connection.`;
}

/** Header for requests to the registry; the token of a scope where it wants one. */
export async function authorize(
  talk: Conversation,
  access: Access,
  scope?: string,
): Promise<{ authorization?: string } | Denial> {
  if (access.kind === 'open') return {};
  if (access.kind === 'basic') return { authorization: access.authorization };
  return fetchToken(talk, access, scope);
}

async function fetchToken(
  talk: Conversation,
  { realm, service, authorization }: Extract<Access, { kind: 'bearer' }>,
  scope: string | undefined,
): Promise<{ authorization: string } | Denial> {
  const url = new URL(realm);
  url.hash = '';
  if (service !== undefined) url.searchParams.set('service', service);
  if (scope !== undefined) url.searchParams.set('scope', scope);
  const question: Question = authorization === undefined ? { url } : { url, headers: { authorization } };
  const answer = await talk.ask(question);
  if (isFault(answer)) return { isRefusal: false, message: `No token was to be had: ${answer.message}` };
  const host = realm.host.slice(0, 253);
  if (isRefusal(answer)) {
    const message = toRefusal(host, answer, talk.target.provider, authorization !== undefined);
    return { isRefusal: true, message };
  }
  if (answer.status !== 200) return { isRefusal: false, message: toTrouble(host, answer) };
  const token = tokenOf(answer);
  if (token !== undefined) return { authorization: `Bearer ${token}` };
  return { isRefusal: false, message: `${host} answered, but with no token: it is no token service of a registry.` };
}

const tokenLengthMax = 64 * 1024;

/** The distribution spec's `token`, or OAuth's name for it. Only what fits into a header. */
function tokenOf(answer: OutboundAnswer): string | undefined {
  const { token, access_token } = objectOf(answer) ?? {};
  return [token, access_token].find(
    (one): one is string => typeof one === 'string' && one.length <= tokenLengthMax && /^[\x21-\x7e]+$/.test(one),
  );
}
