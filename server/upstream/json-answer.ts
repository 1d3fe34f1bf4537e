import { isObject } from '#core/json-text.ts';
import type { OutboundAnswer } from '#core/outbound.ts';

/** The object that an answer is, or undefined. Its size was capped where it was read. */
export function objectOf({ body }: Pick<OutboundAnswer, 'body'>): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
