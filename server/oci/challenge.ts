import type { Access } from '#core/actors.ts';
import type { Failure } from '#core/failure.ts';
import type { Peer } from '#http/peer.ts';
import { formatScopes } from './scopes.ts';

/**
 * The value of `WWW-Authenticate` for a refusal, or undefined where signing in again would not help. One Bearer
 * challenge, one `scope` parameter, all parameters quoted and none empty: some client breaks on each of the other forms.
 */
export function challengeFor(
  failure: Failure,
  { baseUrl, region }: Pick<Peer, 'baseUrl' | 'region'>,
  scopes: readonly Access[],
): string | undefined {
  const error = errorOf(failure);
  if (failure.reason !== 'unauthenticated' && error === undefined) return undefined;
  const scope = formatScopes(scopes);
  const parameters = [
    `realm="${baseUrl}/token"`,
    `service="${region.host}"`,
    ...(scope === '' ? [] : [`scope="${scope}"`]),
    ...(error === undefined ? [] : [`error="${error}"`]),
  ];
  return `Bearer ${parameters.join(',')}`;
}

/** RFC 6750 section 3.1; none where nothing was presented. Containerd drops its cached token only if one is named. */
function errorOf({ reason, detail }: Failure): 'invalid_token' | 'insufficient_scope' | undefined {
  if (detail.isScopeTooSmall) return 'insufficient_scope';
  return reason === 'unauthenticated' && detail.isBadToken ? 'invalid_token' : undefined;
}
