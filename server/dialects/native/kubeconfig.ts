import { parseDocument } from 'yaml';
import { Failure } from '#core/failure.ts';

// What nests deeper, or branches more, than any kubeconfig: the parser's time grows with the square of either.
const isNested = /(?:[-?:] ){16}/;
const bracketsMax = 2000;

// Twice the same key is the second one: to look for such takes as long as the square of their number.
const options = { schema: 'core', uniqueKeys: false, merge: false, stringKeys: true } as const;

/**
 * The document as plain values; what of it is used, `core/kubeconfig.ts` says. No tags but YAML's own, no merging, and
 * few aliases: a small text must not become a large value. Throws `invalid`.
 */
export function parseKubeconfig(text: string): unknown {
  try {
    const isOdd = isNested.test(text) || (text.match(/[[{]/g) ?? []).length > bracketsMax;
    const document = isOdd ? undefined : parseDocument(text, options);
    if (document?.errors.length === 0) return document.toJS({ maxAliasCount: 10 });
  } catch {
    // Too deep, or too many aliases: answered like what is no YAML.
  }
  throw new Failure('invalid', 'The kubeconfig is not a YAML document that can be read.', {
    about: 'cluster',
    fields: { '/kubeconfig': 'is not a YAML document that can be read' },
  });
}
