import { parseDocument } from 'yaml';
import { Failure } from '#core/failure.ts';

/**
 * The document as plain values; what of it is used, `core/kubeconfig.ts` says. No tags but YAML's own, no merging, and
 * few aliases: a small text must not become a large value. Throws `invalid`.
 */
export function parseKubeconfig(text: string): unknown {
  try {
    const document = parseDocument(text, { schema: 'core', uniqueKeys: true, merge: false, stringKeys: true });
    if (document.errors.length === 0) return document.toJS({ maxAliasCount: 10 });
  } catch {
    // Too deep, or too many aliases: answered like what is no YAML.
  }
  throw new Failure('invalid', 'The kubeconfig is not a YAML document that can be read.', {
    about: 'cluster',
    fields: { '/kubeconfig': 'is not a YAML document that can be read' },
  });
}
