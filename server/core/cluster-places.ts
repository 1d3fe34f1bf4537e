import { refuseField } from './cluster-credentials.ts';

/** Where a Secret of ours is, or may be. */
export type Place = { namespace: string; name: string };

const namespacesMax = 50;
// RFC 1123, as Kubernetes demands it of namespaces and of names of Secrets. They become parts of paths there.
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const subdomain = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/** Throws `invalid`. */
export function parseNamespace(text: string, pointer: string): string {
  if (label.test(text)) return text;
  return refuseField(pointer, 'must be a name of Kubernetes: lower-case letters, digits and dashes');
}

/** Throws `invalid`. */
export function parseSecretName(text: string): string {
  if (text.length <= 253 && subdomain.test(text)) return text;
  return refuseField('/secretName', 'must be a name of Kubernetes: lower-case letters, digits, dashes and dots');
}

/** Throws `invalid`. */
export function parsePlaces(input: { namespaces: readonly string[]; secretName: string }): Place[] {
  const name = parseSecretName(input.secretName);
  const { length } = input.namespaces;
  if (length < 1 || length > namespacesMax) refuseField('/namespaces', `must be 1 to ${namespacesMax} namespaces`);
  const namespaces = input.namespaces.map((one, i) => parseNamespace(one, `/namespaces/${i}`));
  return [...new Set(namespaces)].map((namespace) => ({ namespace, name }));
}

/** Where an integration's Secret shall be. */
export const toWanted = (row: { namespaces: string; secret_name: string }): Place[] =>
  (JSON.parse(row.namespaces) as string[]).map((namespace) => ({ namespace, name: row.secret_name }));

export const isSamePlace = (a: Place, b: Place) => a.namespace === b.namespace && a.name === b.name;
