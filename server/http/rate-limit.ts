import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Actor } from '#core/actors.ts';
import { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import { type Allowance, takeRequest } from '#core/request-limit.ts';

const allowances = new WeakMap<FastifyRequest, Allowance>();

/** Part of signing in, so that no management surface can forget it. Throws `throttled`. */
export async function countRequest(platform: Platform, request: FastifyRequest, actor: Actor): Promise<void> {
  const allowance = await takeRequest(platform, actor.id);
  if (!allowance) return;
  allowances.set(request, allowance);
  if (allowance.isAllowed) return;
  const { limit, resetSeconds } = allowance;
  throw new Failure(
    'throttled',
    `This API key may make ${limit} requests an hour and has made them. Try again in ${Math.ceil(resetSeconds / 60)} minutes.`,
    { retryAfterSeconds: resetSeconds },
  );
}

/** Where requests are limited, every answer to one that was counted says how many are left, whatever it answers. */
export function bindRateLimitHeaders(app: FastifyInstance, platform: Platform): void {
  if (platform.config.requestsPerHour === null) return;
  app.addHook('onSend', async (request, reply) => {
    const allowance = allowances.get(request);
    if (!allowance) return;
    const { limit, remaining, resetSeconds } = allowance;
    reply.header('x-ratelimit-limit', String(limit));
    reply.header('x-ratelimit-remaining', String(remaining));
    // Seconds from now, as Northflank documents it.
    reply.header('x-ratelimit-reset', String(resetSeconds));
  });
}
