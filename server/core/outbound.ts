/**
 * The one way out: requests to servers that teams name. Times out, caps what is read, follows few redirects and never
 * with credentials to another origin, and connects only to addresses that are public or that the operator allowed.
 * What fails outside is a value, not an exception: somebody else's server is expected to be down.
 */
export type Outbound = (request: OutboundRequest) => Promise<OutboundAnswer | OutboundFault>;

export type OutboundRequest = {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** `https://…`; `http://…` only where the operator allowed the host or its address. */
  url: string;
  /** To another origin go `accept` and `user-agent` alone. */
  headers?: Readonly<Record<string, string>> | undefined;
  body?: string | undefined;
  /** For all of it: names, connections, redirects, the last byte. */
  timeoutMs?: number | undefined;
  answerBytesMax?: number | undefined;
  /** Only GET and HEAD follow any; for the others a redirect is an answer. */
  redirectsMax?: number | undefined;
  /** Holds for the origin of `url` alone. */
  tls?: OutboundTls | undefined;
};

/** `caPem`: trusted instead of the public authorities. The other two belong together. */
export type OutboundTls = {
  caPem?: string | undefined;
  certificatePem?: string | undefined;
  keyPem?: string | undefined;
};

/** Any status. Header names are in lower case. */
export type OutboundAnswer = { status: number; headers: Readonly<Record<string, string>>; body: Uint8Array };

/** How far a request got. A name that does not resolve and one with forbidden addresses both end at `dns`. */
export type OutboundStep =
  | 'url'
  | 'dns'
  | 'address'
  | 'connect'
  | 'tls'
  | 'answer'
  | 'redirect'
  | 'too_large'
  | 'timeout';

/**
 * `message` is a sentence for the person who named the server. It never repeats an address that a name resolved to, and
 * a port that refuses reads like one that is silent: this is no way to look around in the operator's network.
 */
export type OutboundFault = { failedAt: OutboundStep; message: string };

export const isFault = (result: OutboundAnswer | OutboundFault): result is OutboundFault => 'failedAt' in result;
