// Secrets that can be found again wherever they turn up, in whatever form.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

/** Of a secret: what nothing else has in it, and what is looked for. */
export type Planted = { name: string; forms: readonly Buffer[] };

/** Letters and digits alone, which stay as they are in JSON, URLs and headers. */
export const newMark = (): string => `Mark${randomBytes(10).toString('hex')}`;

/** `mark`: all of the secret, or a part of it that no other has. */
export function plant(name: string, mark: string | Buffer): Planted {
  const bytes = Buffer.from(mark);
  assert.ok(bytes.length >= 16, `${name} could be found by chance`);
  const hex = bytes.toString('hex');
  return { name, forms: [bytes, Buffer.from(hex), Buffer.from(hex.toUpperCase()), ...insideBase64(bytes)] };
}

/** As it stands in the base64 of any text around it, such as a Basic header's: three letters for three bytes, thrice. */
function insideBase64(bytes: Buffer): Buffer[] {
  return [0, 1, 2].flatMap((shift) => {
    // What shares a letter with its neighbours is left out.
    const from = (3 - shift) % 3;
    const whole = bytes.subarray(from, bytes.length - ((bytes.length - from) % 3));
    const texts = new Set([whole.toString('base64'), whole.toString('base64url')]);
    return [...texts].map((text) => Buffer.from(text));
  });
}

/** The names of those that are in it. */
export function findPlanted(where: string | Buffer, secrets: Iterable<Planted>): string[] {
  const bytes = Buffer.from(where);
  return [...secrets].filter(({ forms }) => forms.some((form) => bytes.includes(form))).map(({ name }) => name);
}
