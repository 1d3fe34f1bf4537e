// What a body says of a connection. Fields that the vendor does not have are ignored: what is not read here is not set.

import type { ConnectionInput, ConnectionInputChange } from '#core/connection-input.ts';
import { Failure } from '#core/failure.ts';
import { fieldOf, isText } from '#http/body-fields.ts';
import { fromRegistryType } from './wire.ts';

/** Throws `invalid` that names each field that is missing. */
export function fromNewRegistry(body: unknown): ConnectionInput {
  const name = fieldOf(body, 'name', isText);
  const type = fieldOf(body, 'registry_type', isText);
  const place = fromPlace(body);
  const isPlaceKnown = type !== 'custom' || Boolean(place.url);
  if (name && type && isPlaceKnown) return { ...place, name, provider: fromRegistryType(type) };
  const missing = Object.entries({ name, registry_type: type, hostname: isPlaceKnown }).filter(([, is]) => !is);
  throw new Failure('invalid', 'The body lacks what a registry needs.', {
    about: 'connection',
    fields: Object.fromEntries(missing.map(([field]) => [`/${field}`, "can't be blank"])),
  });
}

/** Throws `invalid`, also for a type: what a registry is does not change. */
export function fromChange(body: unknown): ConnectionInputChange {
  if (body === undefined || body === null)
    throw new Failure('invalid', 'The body is missing: send the fields that shall change.');
  if (fieldOf(body, 'registry_type', isText) !== undefined) {
    const said = "can't be changed: add another registry";
    throw new Failure('invalid', `registry_type ${said}.`, { fields: { '/registry_type': said } });
  }
  return { ...fromPlace(body), name: fieldOf(body, 'name', isText) };
}

const fromPlace = (body: unknown) => ({
  url: fieldOf(body, 'hostname', isText),
  username: fieldOf(body, 'username', isText),
  password: fieldOf(body, 'password', isText),
});
