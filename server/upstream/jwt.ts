import { objectOf } from './json-answer.ts';

/** What a JSON Web Token says, whoever signed it; undefined for anything else. Nothing is to be trusted because of it. */
export function claimsOf(token: string): Record<string, unknown> | undefined {
  const payload = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec(token)?.[1];
  return payload === undefined ? undefined : objectOf({ body: Buffer.from(payload, 'base64url') });
}
