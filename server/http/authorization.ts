/** What a request shows for itself. `none` also stands for Basic with nothing in it, which some clients send. */
export type Credentials =
  | { scheme: 'none' }
  | { scheme: 'basic'; username: string; secret: string }
  | { scheme: 'bearer'; secret: string }
  /** A header that cannot be read: it is refused, never taken for anonymous. */
  | { scheme: 'unreadable' };

// Longer than any access token of 64 scopes; Node's own cap on all headers is 16 KiB.
const maxLength = 12_288;

/** Reads an `Authorization` header. The user name of Basic means nothing here: the password is the secret. */
export function parseAuthorization(header: string | undefined): Credentials {
  if (header === undefined || header === '') return { scheme: 'none' };
  if (header.length > maxLength) return { scheme: 'unreadable' };
  const match = /^(\S+) +(\S+) *$/.exec(header);
  const [, scheme = '', value = ''] = match ?? [];
  if (scheme.toLowerCase() === 'bearer') return { scheme: 'bearer', secret: value };
  if (scheme.toLowerCase() === 'basic') return parseBasic(value);
  return { scheme: 'unreadable' };
}

function parseBasic(value: string): Credentials {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(value)) return { scheme: 'unreadable' };
  const text = Buffer.from(value, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return { scheme: 'unreadable' };
  const username = text.slice(0, colon);
  const secret = text.slice(colon + 1);
  // `Basic Og==`: podman and skopeo send it for an empty entry of their configuration.
  if (username === '' && secret === '') return { scheme: 'none' };
  return { scheme: 'basic', username, secret };
}

/** `X-Auth-Token`: a bare secret. */
export function parseAuthToken(header: string | string[] | undefined): Credentials {
  if (header === undefined || header === '') return { scheme: 'none' };
  if (Array.isArray(header) || header.length > maxLength || /\s/.test(header)) return { scheme: 'unreadable' };
  return { scheme: 'bearer', secret: header };
}
