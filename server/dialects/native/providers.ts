import type { Static } from 'typebox';
import { type Provider, ProviderList } from '#contract/providers.ts';
import { refer } from '#contract/values.ts';
import { requirePermission } from '#core/permissions.ts';
import { type Provider as CoreProvider, providerRules, providers } from '#core/providers.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, type NativeApp, refusals } from './endpoint.ts';

export function bindProviders(app: NativeApp): void {
  app.get(
    '/providers',
    {
      schema: {
        ...about('Connections', 'listProviders', 'connections:read', 'List the kinds of registries elsewhere.'),
        response: { 200: refer(ProviderList), ...refusals() },
      },
    },
    async (request) => {
      requirePermission(actorOf(request), 'connections:read');
      return { items: providers.map(toWire), nextCursor: null };
    },
  );
}

function toWire(id: CoreProvider): Static<typeof Provider> {
  const { title, defaultUrl, host, usernameHint, secretHint, secret } = providerRules[id];
  return { id, title, defaultUrl, hostHint: host?.says ?? null, usernameHint, secretHint, secret };
}
