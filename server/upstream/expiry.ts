// When what is stored ends, where anybody tells. Docker Hub, Quay, Azure and DigitalOcean tell nobody; Google's key files
// do not end by themselves.

import { isFault } from '#core/outbound.ts';
import type { HostCredentials } from '#core/upstream.ts';
import type { Access } from './access.ts';
import type { Conversation } from './conversation.ts';
import { objectOf } from './json-answer.ts';
import { claimsOf } from './jwt.ts';

/** Milliseconds; null where nobody tells. */
export async function findExpiry(
  talk: Conversation,
  access: Access,
  credentials: HostCredentials,
): Promise<number | null> {
  switch (talk.target.provider) {
    case 'ghcr':
      return askGitHub(talk, credentials);
    case 'gitlab':
      return (await askGitLab(talk, access, credentials)) ?? writtenInside(credentials);
    default:
      return writtenInside(credentials);
  }
}

/** A password that is a token may say so itself: a JWT, or what ECR gives to `docker login`. */
function writtenInside({ username, password }: HostCredentials): number | null {
  const claims = claimsOf(password);
  if (claims) return toMilliseconds(claims.exp);
  if (username !== 'AWS') return null;
  return toMilliseconds(objectOf({ body: Buffer.from(password, 'base64') })?.expiration);
}

const yearSeconds = 366 * 24 * 3600;

function toMilliseconds(seconds: unknown): number | null {
  const isTime = typeof seconds === 'number' && seconds > 0 && seconds < 200 * yearSeconds;
  return isTime ? Math.floor(seconds * 1000) : null;
}

/** GitHub's API names the end of a personal access token in a header; its registry does not. */
async function askGitHub(talk: Conversation, { password }: HostCredentials): Promise<number | null> {
  if (!/^(?:ghp|github_pat)_\w+$/.test(password)) return null;
  const headers = { authorization: `Bearer ${password}` };
  const answer = await talk.ask({ method: 'HEAD', url: new URL('https://api.github.com/'), headers });
  const text = isFault(answer) ? undefined : answer.headers['github-authentication-token-expiration'];
  // `2026-10-07 19:07:53 UTC`, or with an offset.
  const [, day, time, zone] = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (UTC|[+-]\d{4})$/.exec(text ?? '') ?? [];
  return day === undefined ? null : toTime(`${day}T${time}${zone === 'UTC' ? 'Z' : zone}`);
}

const tokenPath = /\/jwt\/auth$/;

/**
 * GitLab tells every access token about itself, whatever it is for; deploy tokens and passwords it does not, and a wrong
 * one counts as an attack. Its API stands beside its token service.
 */
async function askGitLab(talk: Conversation, access: Access, { password }: HostCredentials): Promise<number | null> {
  if (!/^glpat-[\w.-]+$/.test(password)) return null;
  // No more than where the password has just been sent.
  if (access.kind !== 'bearer' || access.authorization === undefined || !tokenPath.test(access.realm.pathname))
    return null;
  const url = new URL(access.realm);
  url.search = '';
  url.pathname = url.pathname.replace(tokenPath, '/api/v4/personal_access_tokens/self');
  const answer = await talk.ask({ url, headers: { 'private-token': password } });
  if (isFault(answer) || answer.status !== 200) return null;
  const day = objectOf(answer)?.expires_at;
  return typeof day === 'string' && /^\d{4}-\d\d-\d\d$/.test(day) ? toTime(`${day}T00:00:00Z`) : null;
}

function toTime(text: string): number | null {
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : time;
}
