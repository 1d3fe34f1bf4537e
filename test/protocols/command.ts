import fc from 'fast-check';
import { uploadForms } from './requests.ts';
import { type Client, contentCount, repositories, tokenCount } from './world.ts';

/** One kind of command: what it may be given, and what it does. Data and code are apart, so that a failure can be printed. */
export type Kind<Input> = {
  /** How often, beside the others. */
  weight: number;
  input: fc.Arbitrary<Input>;
  run: (client: Client, input: Input) => Promise<void>;
};

export function kind<Input>(kind: Kind<Input>): Kind<unknown> {
  return kind as Kind<unknown>;
}

/** Which token asks, and as which of its holders. */
export const who = fc.record({ token: fc.nat(tokenCount - 1), session: fc.nat(2) });
export const repository = fc.constantFrom(...repositories);
export const content = fc.nat(contentCount - 1);
export const form = fc.constantFrom(...uploadForms);
