import type { FastifyRequest } from 'fastify';
import { type Actor, anonymous, findActorBySecret } from '#core/actors.ts';
import { Failure } from '#core/failure.ts';
import { requireApiKey } from '#core/permissions.ts';
import type { Platform } from '#core/platform.ts';
import { countRefusedSignIn } from '#core/refused-sign-ins.ts';
import { type Credentials, parseAuthorization } from './authorization.ts';
import { addressOf } from './peer.ts';
import { countRequest } from './rate-limit.ts';
import { noteRequest } from './request-notes.ts';

const actors = new WeakMap<FastifyRequest, Actor>();

/**
 * Finds who asks a management API, before anything else of the request is read: who has no API key learns nothing of
 * what it would take. Throws `unauthenticated`; a secret that is unknown, expired or revoked is answered alike. Throws
 * `throttled` for a key that asks too often.
 */
export async function authenticate(
  platform: Platform,
  request: FastifyRequest,
  credentials: Credentials = parseAuthorization(request.headers.authorization),
): Promise<void> {
  const actor = { ...(await findActor(platform, request, credentials)), address: addressOf(request) };
  noteRequest(request, { actor: `${actor.kind} ${actor.name}` });
  requireApiKey(actor);
  await countRequest(platform, request, actor);
  actors.set(request, actor);
}

/** Who asks. */
export function actorOf(request: FastifyRequest): Actor {
  const actor = actors.get(request);
  if (!actor) throw new Error('authenticate has not run for this request');
  return actor;
}

async function findActor(platform: Platform, request: FastifyRequest, credentials: Credentials): Promise<Actor> {
  if (credentials.scheme === 'none') return anonymous;
  if (credentials.scheme !== 'unreadable') {
    const actor = await findActorBySecret(platform, credentials.secret);
    if (actor) return actor;
    await countRefusedSignIn(platform, { secret: credentials.secret }, addressOf(request));
  }
  throw new Failure('unauthenticated', 'The API key is not valid: it is unknown, expired or revoked.', {
    isBadToken: true,
  });
}
