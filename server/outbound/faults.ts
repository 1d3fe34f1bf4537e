import type { OutboundFault } from '#core/outbound.ts';
import { type Target, toText } from './addresses.ts';
import type { Trace } from './socket.ts';

type Ending = { target: Target; trace: Trace; error: unknown; hasTimedOut: boolean; timeoutMs: number };

/** What ended a request, as a sentence. What the system says of a connection is left out: it tells ports apart. */
export function toFault({ target, trace, error, hasTimedOut, timeoutMs }: Ending): OutboundFault {
  if (trace.fault) return trace.fault;
  const server = toText(target);
  if (hasTimedOut && trace.step !== 'connect') {
    return {
      failedAt: 'timeout',
      message: `${server} did not answer within ${timeoutMs / 1000} seconds. Check host and port, and try again later.`,
    };
  }
  switch (trace.step) {
    case 'connect':
      return { failedAt: 'connect', message: `No connection to ${target.hostname} on port ${target.port} came about.` };
    case 'tls':
      return { failedAt: 'tls', message: `${server} ${tlsFault((error as { code?: string }).code ?? '')}.` };
    default:
      return { failedAt: 'answer', message: `${server} broke off, or does not answer as an HTTP server does.` };
  }
}

const unknownIssuer = 'has a certificate of an authority that is not trusted here: give its CA certificate';

const tlsFaults: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has a certificate that has expired',
  CERT_NOT_YET_VALID: 'has a certificate that is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for other names',
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownIssuer,
  SELF_SIGNED_CERT_IN_CHAIN: unknownIssuer,
  UNABLE_TO_GET_ISSUER_CERT: unknownIssuer,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownIssuer,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownIssuer,
  CERT_SIGNATURE_FAILURE: unknownIssuer,
};

const tlsFault = (code: string) =>
  tlsFaults[code] ??
  'does not speak TLS, or not as it must be spoken here. Check the port; if it speaks plain HTTP, its URL must begin with http://';
