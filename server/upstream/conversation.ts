import { isFault, type Outbound, type OutboundAnswer, type OutboundFault } from '#core/outbound.ts';
import { providerRules } from '#core/providers.ts';
import type { UpstreamRateLimit, UpstreamTarget } from '#core/upstream.ts';
import { parseRateLimit } from './rate-limit.ts';

/** What a conversation may take altogether, and each request of it. */
export type Limits = { checkMs: number; requestMs: number; requests: number };

export type Question = {
  method?: 'GET' | 'HEAD' | 'POST';
  url: URL;
  /** They go to the origin of `url` alone. */
  headers?: Readonly<Record<string, string>>;
  body?: string;
};

/** All that is said to one registry and its token service for one purpose: it shares one time and one count. */
export type Conversation = {
  target: UpstreamTarget;
  /** The origin that speaks the registry API. */
  registry: URL;
  now: () => number;
  /** Any status but a redirect's; that is followed, or a fault. */
  ask(question: Question): Promise<OutboundAnswer | OutboundFault>;
  /** From the beginning to the last answer. */
  latencyMs(): number;
  /** The last that the registry told. */
  rateLimit(): UpstreamRateLimit | null;
};

type Options = { outbound: Outbound; target: UpstreamTarget; limits: Limits; now: () => number };

const redirectsMax = 3;
const answerBytesMax = 1024 * 1024;
const redirectStatuses = [301, 302, 303, 307, 308];

export function openConversation({ outbound, target, limits, now }: Options): Conversation {
  const registry = new URL(`${target.scheme}://${providerRules[target.provider].apiHost ?? target.host}/`);
  const startedAt = performance.now();
  let lastAnswerAt = startedAt;
  let requests = 0;
  let rateLimit: UpstreamRateLimit | null = null;

  const send = async (question: Question, url: URL, headers: Question['headers']) => {
    const leftMs = startedAt + limits.checkMs - performance.now();
    if (leftMs < 1 || ++requests > limits.requests) return tookTooLong(target, limits);
    const timeoutMs = Math.min(limits.requestMs, Math.ceil(leftMs));
    const { method = 'GET', body } = question;
    const answer = await outbound({ method, url: url.href, headers, body, timeoutMs, answerBytesMax, redirectsMax: 0 });
    lastAnswerAt = performance.now();
    if (!isFault(answer) && url.origin === registry.origin) rateLimit = parseRateLimit(answer.headers) ?? rateLimit;
    return answer;
  };

  // Outbound would follow as well, but a stranger's answer must not pass for the registry's.
  const ask = async (question: Question) => {
    let { url, headers } = question;
    for (let redirects = 0; ; redirects++) {
      const answer = await send(question, url, headers);
      if (isFault(answer)) return redirects === 0 ? answer : { ...answer, failedAt: 'redirect' as const };
      if (!redirectStatuses.includes(answer.status)) return answer;
      const next = nextOf(answer, url);
      if (!next || redirects === redirectsMax || question.method === 'POST') return misdirects(url);
      if (next.origin !== url.origin) {
        if (target.credentials !== null) return leadsAway(url);
        headers = {};
      }
      url = next;
    }
  };

  return {
    target,
    registry,
    now,
    ask,
    latencyMs: () => Math.round(lastAnswerAt - startedAt),
    rateLimit: () => rateLimit,
  };
}

function nextOf({ headers }: OutboundAnswer, url: URL): URL | undefined {
  const { location } = headers;
  return location !== undefined && URL.canParse(location, url) ? new URL(location, url) : undefined;
}

const tookTooLong = ({ host }: UpstreamTarget, { checkMs }: Limits): OutboundFault => ({
  failedAt: 'timeout',
  message: `${host} needed more than ${checkMs / 1000} seconds, or too many requests, for all answers together.`,
});

const misdirects = ({ host }: URL): OutboundFault => ({
  failedAt: 'redirect',
  message: `${host} redirects too often, or to nothing that can be asked.`,
});

const leadsAway = ({ host }: URL): OutboundFault => ({
  failedAt: 'redirect',
  message: `${host} redirects to another host, and credentials are not taken there. If that is the registry, enter its host.`,
});
