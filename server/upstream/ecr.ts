import { AwsV4Signer } from 'aws4fetch';
import { isFault, type OutboundAnswer } from '#core/outbound.ts';
import type { HostCredentials, UpstreamFault, UpstreamLogin, UpstreamTarget } from '#core/upstream.ts';
import type { Conversation } from './conversation.ts';
import { objectOf } from './json-answer.ts';
import { toTrouble } from './sentences.ts';

/** Whether a token must be made first. User `AWS` has one already, as `aws ecr get-login-password` gives it. */
export const needsEcrLogin = ({ provider, credentials }: UpstreamTarget): boolean =>
  provider === 'ecr' && credentials !== null && credentials.username !== 'AWS';

const regionPattern = /^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$/;

/** Where tokens of the registry's region are made; undefined where no region is known. */
export function ecrEndpoint({ host, awsRegion }: UpstreamTarget): { url: URL; region: string } | undefined {
  const [, fips, ofHost, china = ''] =
    /\.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?(?::\d+)?$/.exec(host) ?? [];
  const region = ofHost ?? awsRegion ?? '';
  if (!regionPattern.test(region)) return undefined;
  const ending = china !== '' || region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  return { url: new URL(`https://${fips ? 'ecr-fips' : 'api.ecr'}.${region}.${ending}/`), region };
}

const action = 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken';

/** An access key's token for the registries of its region; it holds 12 hours. */
export async function requestEcrLogin(
  talk: Conversation,
  credentials: HostCredentials,
): Promise<UpstreamLogin | UpstreamFault> {
  const endpoint = ecrEndpoint(talk.target);
  if (!endpoint) return tokenFault(`No AWS region is known for ${talk.target.host}. Enter it.`);
  // It becomes part of a header.
  if (!/^\w{1,128}$/.test(credentials.username)) return tokenFault(unknownKey);
  const body = '{}';
  const signer = new AwsV4Signer({
    method: 'POST',
    url: endpoint.url.href,
    headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': action },
    body,
    accessKeyId: credentials.username,
    secretAccessKey: credentials.password,
    service: 'ecr',
    region: endpoint.region,
    datetime: new Date(talk.now()).toISOString().replace(/[:-]|\.\d{3}/g, ''),
    // Content-Type too: it decides how the body is read.
    allHeaders: true,
  });
  const signed = await signer.sign();
  const headers = Object.fromEntries(signed.headers);
  const answer = await talk.ask({ method: 'POST', url: endpoint.url, headers, body });
  if (isFault(answer)) return tokenFault(`AWS gave no token: ${answer.message}`);
  return toLogin(endpoint.url.host, answer);
}

const tokenFault = (message: string): UpstreamFault => ({ step: 'token', message });

function toLogin(host: string, answer: OutboundAnswer): UpstreamLogin | UpstreamFault {
  const value = objectOf(answer);
  if (answer.status !== 200) return tokenFault(toAwsSentence(host, answer, value?.__type));
  const first: unknown = Array.isArray(value?.authorizationData) ? value.authorizationData[0] : undefined;
  const { authorizationToken, expiresAt } = (first ?? {}) as Record<string, unknown>;
  const text = typeof authorizationToken === 'string' ? Buffer.from(authorizationToken, 'base64').toString('utf8') : '';
  const [, username, password] = /^([^:]+):([\x21-\x7e]+)$/.exec(text) ?? [];
  if (username === undefined || password === undefined || typeof expiresAt !== 'number') {
    return tokenFault(`${host} answered, but with no token.`);
  }
  return { username, password, expiresAt: Math.floor(expiresAt * 1000) };
}

const unknownKey = 'AWS does not know the access key id. Check it, and that the key is active.';

const awsSentences: Readonly<Record<string, string>> = {
  UnrecognizedClientException: unknownKey,
  InvalidClientTokenId: unknownKey,
  InvalidSignatureException: 'The secret access key does not belong to the access key id. Enter both again.',
  SignatureDoesNotMatch: 'The secret access key does not belong to the access key id. Enter both again.',
  AccessDeniedException: 'The access key may not make tokens. Give its user the permission ecr:GetAuthorizationToken.',
  ExpiredTokenException: 'The access key has ended. Give another.',
  ThrottlingException: 'AWS has been asked too much. Try again later.',
};

/** AWS puts the kind of an error into `__type`, sometimes behind a name space and a #. */
function toAwsSentence(host: string, answer: OutboundAnswer, type: unknown): string {
  const kind = typeof type === 'string' ? (type.split('#').at(-1) ?? '') : '';
  return Object.hasOwn(awsSentences, kind) ? (awsSentences[kind] ?? '') : toTrouble(host, answer);
}
