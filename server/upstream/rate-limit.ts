import type { OutboundAnswer } from '#core/outbound.ts';
import type { UpstreamRateLimit } from '#core/upstream.ts';

// `100;w=21600`: so many in so many seconds.
const pattern = /^(\d{1,9})(?:;w=(\d{1,9}))?$/;

/** Docker Hub's own form of the headers. Others send them without a window, which tells nothing worth keeping. */
export function parseRateLimit(headers: OutboundAnswer['headers']): UpstreamRateLimit | undefined {
  const limit = pattern.exec(headers['ratelimit-limit']?.trim() ?? '');
  const remaining = pattern.exec(headers['ratelimit-remaining']?.trim() ?? '');
  const windowSeconds = limit?.[2] ?? remaining?.[2];
  if (!limit || !remaining || windowSeconds === undefined) return undefined;
  return { limit: Number(limit[1]), remaining: Number(remaining[1]), windowSeconds: Number(windowSeconds) };
}
