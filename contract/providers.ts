import { Type } from 'typebox';
import { listOf } from './page.ts';
import { named, nullable, oneOf } from './values.ts';

/** The words of the product; `server/core/providers.ts` says what is known of each. */
export const providerIds = [
  'dockerhub',
  'ghcr',
  'gcr',
  'artifact-registry',
  'ecr',
  'acr',
  'gitlab',
  'digitalocean',
  'quay',
  'oci',
] as const;

export const Provider = named(
  'Provider',
  {
    id: oneOf(providerIds),
    title: Type.String(),
    defaultUrl: nullable(Type.String({ description: 'Where a connection leads without a url; null: it needs one.' })),
    hostHint: nullable(Type.String({ description: 'What its hosts look like; null: any host.' })),
    usernameHint: Type.String({ description: 'What to enter as username.' }),
    secretHint: Type.String({ description: 'What to enter as password, or as keyFile.' }),
    secret: oneOf(['password', 'key_file', 'aws'], {
      description: 'key_file: the key file of a service account. aws: an access key, of which tokens are made.',
    }),
  },
  'A kind of registry elsewhere, as a form that makes connections needs to know it.',
);

export const ProviderList = listOf(Provider);
