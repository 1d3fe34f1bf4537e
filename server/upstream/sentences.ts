// What an answer means, said for the person who entered the registry. Nothing of a body is repeated: a server could put
// there what it was sent.

import type { OutboundAnswer } from '#core/outbound.ts';
import { type Provider, providerRules } from '#core/providers.ts';

export const isRefusal = ({ status }: OutboundAnswer): boolean => status === 401 || status === 403;

/** An answer that is neither wanted nor a refusal. */
export function toTrouble(host: string, { status, headers }: OutboundAnswer): string {
  if (status === 429) return `${host} has been asked too much (429). ${retryHint(headers['retry-after'])}`;
  if (status >= 500) return `${host} is out of order: it answered ${status}. Try again later.`;
  return `${host} answered ${status}, which a registry does not do here. Check the host.`;
}

/** RFC 9110, 10.2.3: seconds or a date. */
function retryHint(retryAfter: string | undefined): string {
  const text = retryAfter?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return `It may be asked again in ${Number(text)} seconds.`;
  const at = /^[A-Z][a-z]{2}, [0-9A-Za-z: ]{1,30} GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? 'Try again later.' : `It may be asked again at ${new Date(at).toISOString()}.`;
}

type Status = Pick<OutboundAnswer, 'status'>;

/** `signedIn`: with credentials. */
export function toRefusal(host: string, { status }: Status, provider: Provider, signedIn: boolean): string {
  if (!signedIn) return `${host} lets nobody in without credentials (${status}). Add a user name and a password.`;
  const how =
    status === 200
      ? 'does not know the user name or the password'
      : `refuses the user name or the password (${status})`;
  return `${host} ${how}. ${wants(provider)}`;
}

function wants(provider: Provider): string {
  const { title, usernameHint, secretHint } = providerRules[provider];
  if (provider === 'oci') return 'Give the ones that `docker login` takes, and see that they have not ended.';
  return `${title} wants ${usernameHint} and ${secretHint}, and one that has not ended.`;
}
