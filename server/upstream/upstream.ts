import { createHash } from 'node:crypto';
import type { Outbound } from '#core/outbound.ts';
import { providerRules } from '#core/providers.ts';
import {
  type HostCredentials,
  isUpstreamFault,
  type Upstream,
  type UpstreamCheck,
  type UpstreamFault,
  type UpstreamLogin,
  type UpstreamTarget,
  upstreamSteps,
} from '#core/upstream.ts';
import { checkRegistry, notTried } from './check.ts';
import { type Conversation, type Limits, openConversation } from './conversation.ts';
import { needsEcrLogin, requestEcrLogin } from './ecr.ts';

type UpstreamOptions = { now?: () => number; limits?: Partial<Limits> };

// A little under what is promised, since timers are late.
const limitsDefault: Limits = { checkMs: 29_000, requestMs: 10_000, requests: 24 };

export function openUpstream(outbound: Outbound, { now = Date.now, limits = {} }: UpstreamOptions = {}): Upstream {
  const logins = openLoginCache(now);
  const open = (target: UpstreamTarget): Conversation =>
    openConversation({ outbound, target, limits: { ...limitsDefault, ...limits }, now });
  return {
    async check(target) {
      if (!isHost(target)) return toUnreachable(target);
      const talk = open(target);
      return checkRegistry(talk, async (credentials) => {
        if (!needsEcrLogin(target)) return toLogin(target, credentials);
        // A token of the cache would hide for hours that the key is dead.
        const login = await requestEcrLogin(talk, credentials);
        if (!isUpstreamFault(login)) logins.keep(keyOf(target, credentials), login);
        return login;
      });
    },
    async logIn(target) {
      const { credentials } = target;
      if (!needsEcrLogin(target)) return toLogin(target, credentials);
      if (!isHost(target)) return { step: 'token', message: notAHost(target) };
      return logins.get(keyOf(target, credentials), () => requestEcrLogin(open(target), credentials));
    },
  };
}

/** `name[:port]` and nothing else that a URL may have: whoever made the target has to have seen to that. */
function isHost({ scheme, host }: UpstreamTarget): boolean {
  if (!/^[^\s/\\?#@]+$/.test(host) || !URL.canParse(`${scheme}://${host}/`)) return false;
  return new URL(`${scheme}://${host}/`).pathname === '/';
}

const notAHost = ({ host }: UpstreamTarget): string => `${JSON.stringify(host.slice(0, 80))} is no host of a registry.`;

function toUnreachable(target: UpstreamTarget): UpstreamCheck {
  const steps = upstreamSteps.map((step, i) =>
    i === 0
      ? { step, result: 'failed' as const, message: notAHost(target) }
      : { step, result: 'skipped' as const, message: notTried },
  );
  return { steps, latencyMs: 0, rateLimit: null, credentialsExpireAt: null };
}

function toLogin({ provider }: UpstreamTarget, { username, password }: HostCredentials): UpstreamLogin {
  const isKeyFile = providerRules[provider].secret === 'key_file' && username === '';
  return { username: isKeyFile ? '_json_key' : username, password, expiresAt: null };
}

function keyOf({ provider, host, awsRegion }: UpstreamTarget, { username, password }: HostCredentials): string {
  const text = JSON.stringify([provider, host, awsRegion, username, password]);
  return createHash('sha256').update(text).digest('base64');
}

const hourMs = 3600_000;
const failureMs = 60_000;
const entriesMax = 10_000;

/** As the newest. */
function put<Value>(entries: Map<string, Value>, key: string, value: Value): void {
  // Whoever was put there first is the next to go.
  entries.delete(key);
  entries.set(key, value);
  for (const oldest of entries.keys()) {
    if (entries.size <= entriesMax) break;
    entries.delete(oldest);
  }
}

/**
 * Logins of the last hours. Whoever asks while one is being made waits for that one. What failed is the answer for a
 * minute: pull secrets ask for dead keys as often as they are fetched, and AWS bounds how often it answers at all.
 */
function openLoginCache(now: () => number) {
  const kept = new Map<string, UpstreamLogin>();
  const underway = new Map<string, Promise<UpstreamLogin | UpstreamFault>>();
  const failed = new Map<string, { fault: UpstreamFault; until: number }>();
  const keep = (key: string, login: UpstreamLogin) => {
    failed.delete(key);
    put(kept, key, login);
  };
  const isFresh = ({ expiresAt }: UpstreamLogin) => expiresAt !== null && expiresAt - now() > hourMs;
  return {
    keep,
    async get(key: string, make: () => Promise<UpstreamLogin | UpstreamFault>) {
      const known = kept.get(key);
      if (known && isFresh(known)) return known;
      const waiting = underway.get(key);
      if (waiting) return waiting;
      const failure = failed.get(key);
      if (failure && failure.until > now()) return failure.fault;
      const made = make().finally(() => underway.delete(key));
      underway.set(key, made);
      const login = await made;
      if (isUpstreamFault(login)) put(failed, key, { fault: login, until: now() + failureMs });
      else keep(key, login);
      return login;
    },
  };
}
