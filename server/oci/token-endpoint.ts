import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Failure } from '#core/failure.ts';
import { grantedAccess } from '#core/grants.ts';
import type { Platform, Region } from '#core/platform.ts';
import { listSigningKeys } from '#core/signing-keys.ts';
import { addressOf, regionOf } from '#http/peer.ts';
import { noteRequest } from '#http/request-notes.ts';
import { signAccessToken } from './access-tokens.ts';
import { badToken, type SignIn, signIn, signInBySecret } from './authenticate.ts';
import { formatScopes, parseScopes } from './scopes.ts';

const queryBytesMax = 8192;
/** The scopes of a query, and a password. */
const formBytesMax = 16_384;
/** Clients take any token for good for a minute; one that another token cannot give that long is not given. */
const minimumLeftMs = 60_000;

/** Docker's token service: `GET /token` as docker and skopeo ask, `POST /token` (OAuth2) as containerd and buildkit do. */
export function bindToken(app: FastifyInstance, platform: Platform): void {
  app.register(async (plugin) => {
    // Whatever media type it is called: containerd gives up on 415, but falls back to GET after the 400 of a bad form.
    plugin.removeAllContentTypeParsers();
    plugin.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
    plugin.get('/token', (request, reply) => giveToken(platform, request, reply));
    plugin.post('/token', (request, reply) => exchangeForm(platform, request, reply));
    plugin.get('/token/jwks.json', async (_request, reply) => {
      reply.header('Cache-Control', 'public, max-age=60');
      return { keys: await publishedKeys(platform) };
    });
  });
}

async function publishedKeys(platform: Platform) {
  const keys = await listSigningKeys(platform);
  return keys.map(({ id, publicJwk }) => ({ ...publicJwk, kid: id, alg: 'ES256', use: 'sig' }));
}

/**
 * No credentials are good for an anonymous token with what is public, else nobody could pull it: only wrong ones are
 * refused. Which `service` is asked for does not matter; the token is for the region whose host was asked.
 */
async function giveToken(platform: Platform, request: FastifyRequest, reply: FastifyReply) {
  reply.header('Cache-Control', 'no-store');
  const query = queryOf(request);
  const region = regionOf(platform, request);
  const presented = { headers: request.headers, address: addressOf(request), region };
  const signedIn = await signIn(platform, presented);
  noteSignIn(request, signedIn);
  const answer = await tokenFor(platform, signedIn, region, query.getAll('scope'));
  const isOffline = query.get('offline_token') === 'true' || query.get('access_type') === 'offline';
  return { ...answer.body, ...refreshToken(signedIn, isOffline) };
}

function noteSignIn(request: FastifyRequest, { actor }: SignIn): void {
  noteRequest(request, { actor: actor.name === '' ? actor.kind : `${actor.kind} ${actor.name}` });
}

/** From the raw URL, since a scope's `+`, `,` and `:` come encoded and not, by client. */
function queryOf({ raw }: FastifyRequest): URLSearchParams {
  const url = raw.url ?? '';
  const start = url.indexOf('?');
  const text = start < 0 ? '' : url.slice(start + 1);
  if (text.length <= queryBytesMax) return new URLSearchParams(text);
  throw new Failure('invalid', `The query is longer than ${queryBytesMax} bytes. Ask for fewer scopes at a time.`, {
    about: 'scope',
  });
}

/** RFC 6749 sections 4.3 and 6, with docker's `access_type`. Refusals are in that RFC's form too (section 5.2). */
async function exchangeForm(platform: Platform, request: FastifyRequest, reply: FastifyReply) {
  reply.header('Cache-Control', 'no-store');
  try {
    const form = parseForm(request.body);
    const region = regionOf(platform, request);
    const signedIn = await signInBySecret(platform, form.secret, addressOf(request));
    noteSignIn(request, signedIn);
    const answer = await tokenFor(platform, signedIn, region, form.scopes);
    return { ...answer.body, scope: formatScopes(answer.access), ...refreshToken(signedIn, form.isOffline) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.reason === 'unauthenticated') return sendRefusal(reply, 401, 'invalid_grant', error);
    if (error.reason === 'unsupported') return sendRefusal(reply, 400, 'unsupported_grant_type', error);
    if (error.reason !== 'invalid') throw error;
    return sendRefusal(reply, 400, error.detail.about === 'scope' ? 'invalid_scope' : 'invalid_request', error);
  }
}

function sendRefusal(reply: FastifyReply, status: 400 | 401, error: string, { message }: Failure) {
  return reply.code(status).send({ error, error_description: message });
}

/** Either grant's secret stands in the field that is called like the grant. */
function parseForm(body: unknown): { secret: string; scopes: string[]; isOffline: boolean } {
  const text = typeof body === 'string' ? body : '';
  if (text.length > formBytesMax) throw new Failure('invalid', `The form is longer than ${formBytesMax} bytes.`);
  const form = new URLSearchParams(text);
  const grantType = form.get('grant_type') ?? '';
  if (grantType !== 'password' && grantType !== 'refresh_token') {
    throw new Failure('unsupported', 'grant_type is one of: password, refresh_token.');
  }
  const secret = form.get(grantType);
  if (!secret) throw new Failure('invalid', `The form lacks ${grantType}.`);
  const isOffline = grantType === 'refresh_token' || form.get('access_type') === 'offline';
  return { secret, scopes: form.getAll('scope'), isOffline };
}

async function tokenFor(platform: Platform, signedIn: SignIn, region: Region, scopes: readonly string[]) {
  const { actor, tokenExpiresAt } = signedIn;
  if (tokenExpiresAt !== null && tokenExpiresAt < platform.now() + minimumLeftMs) throw badToken();
  const granted = await grantedAccess(platform, actor, region, parseScopes(scopes));
  const signed = await signAccessToken(platform, actor, region, granted, tokenExpiresAt ?? actor.expiresAt);
  const body = {
    // Both names: each of the two is the only one that some client reads.
    token: signed.token,
    access_token: signed.token,
    expires_in: signed.expiresInSeconds,
    issued_at: new Date(signed.issuedAt).toISOString().replace('.000Z', 'Z'),
  };
  return { body, access: signed.access };
}

/**
 * For a client that means to forget the password: the secret itself, which is revoked as such and leaves nothing more to
 * keep. An access token never turns into something that lasts.
 */
function refreshToken({ secret }: SignIn, isOffline: boolean): { refresh_token?: string } {
  return isOffline && secret !== undefined ? { refresh_token: secret } : {};
}
