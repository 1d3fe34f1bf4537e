// What a body says of a connection. Fields that the vendor does not have are ignored: what is not read here is not set.

import type { ConnectionInputChange } from '#core/connection-input.ts';
import { Failure } from '#core/failure.ts';
import { fieldOf, isText } from '#http/body-fields.ts';
import { fromKind } from './wire.ts';

const required = ['name', 'url', 'username', 'password'] as const;
type Required = Record<(typeof required)[number], string>;

/** Throws `invalid` that names each field that is missing. */
export function fromRequired(body: unknown): Required {
  const entries = required.map((name) => [name, fieldOf(body, name, isText)] as const);
  // An empty user name and an empty password are how this API says that a registry is read anonymously.
  const missing = entries.filter(([name, value]) => value === undefined || (value === '' && name === 'url'));
  if (missing.length === 0) return Object.fromEntries(entries) as Required;
  const names = missing.map(([name]) => name);
  throw new Failure('invalid', `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} missing in the body.`, {
    about: 'connection',
    fields: Object.fromEntries(names.map((name) => [`/${name}`, 'is missing'])),
  });
}

/** What the vendor's own form has beyond the required fields. */
export function fromOptional(body: unknown): Pick<ConnectionInputChange, 'provider' | 'namespace'> {
  const kind = fieldOf(body, 'kind', isText);
  return { provider: kind === undefined ? undefined : fromKind(kind), namespace: fieldOf(body, 'namespace', isText) };
}

/** Any of the fields; what is not given stays as it is. */
export function fromChange(body: unknown): ConnectionInputChange {
  if (body === undefined || body === null)
    throw new Failure('invalid', 'The body is missing: send the fields that shall change.');
  const texts = required.map((name) => [name, fieldOf(body, name, isText)] as const);
  return { ...(Object.fromEntries(texts) as ConnectionInputChange), ...fromOptional(body) };
}
