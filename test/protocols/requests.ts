// Requests as the surfaces make them: sign in, open the repository, call the core, and note what was promised.

import { type Actor, anonymous, findActorBySecret } from '#core/actors.ts';
import { getBlob, mountBlob, openBlob } from '#core/blobs.ts';
import { type Digest, digestOf } from '#core/digest.ts';
import { Failure } from '#core/failure.ts';
import { type ManifestPush, pushManifest } from '#core/manifest-push.ts';
import type { RepositoryName } from '#core/names.ts';
import type { Body } from '#core/object-writing.ts';
import { getRegion } from '#core/regions.ts';
import { openRepository, type RepositoryAccess } from '#core/registry-access.ts';
import { appendChunk } from '#core/upload-chunks.ts';
import { finishUpload, putBlob } from '#core/upload-finish.ts';
import { startUpload } from '#core/uploads.ts';
import { InjectedFault } from './gated-platform.ts';
import type { Client, Content, TestToken, Who } from './world.ts';

/** `lost`: the answer never came, and nobody knows what was done. */
export type Outcome<T> = { value: T } | { refused: Failure } | { lost: true };

/** The line to the client broke in the middle of a body. */
class CutBody extends Error {}

/** Runs a request; whatever is neither an answer, nor a refusal, nor a fault of ours is a bug and ends the run. */
export async function attempt<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await work() };
  } catch (error) {
    if (error instanceof Failure) return { refused: error };
    if (error instanceof InjectedFault || error instanceof CutBody) return { lost: true };
    throw error;
  }
}

export const tokenOf = ({ world }: Client, who: Who): TestToken =>
  world.tokens[who.token % world.tokens.length] as TestToken;

export const holderOf = (token: TestToken, who: Who) => (who.session === 0 ? token.id : `${token.id}/${who.session}`);

export type Session = { actor: Actor; repository: RepositoryAccess };

export async function signIn({ platform }: Client, token: TestToken, who: Who): Promise<Actor> {
  const actor = await findActorBySecret(platform, token.secret);
  return actor ? { ...actor, holder: holderOf(token, who) } : anonymous;
}

export async function open(client: Client, who: Who, name: string, action: 'pull' | 'push' = 'push'): Promise<Session> {
  const actor = await signIn(client, tokenOf(client, who), who);
  const query = { region: getRegion(client.platform), name: name as RepositoryName, action };
  return { actor, repository: await openRepository(client.platform, actor, query) };
}

async function asking(client: Client, who: Who, name: string, reference: Digest) {
  const query = { region: getRegion(client.platform), name: name as RepositoryName, reference };
  return [await signIn(client, tokenOf(client, who), who), query] as const;
}

/** How a body comes: in chunks of so many bytes, with or without its length, broken off before its end or whole. */
export type Sending = { isLengthKnown: boolean; isCut: boolean };

export function bodyOf(bytes: Buffer, { isLengthKnown, isCut }: Sending): Body {
  async function* send() {
    const end = isCut ? bytes.length >> 1 : bytes.length;
    for (let at = 0; at < end; at += 100) yield bytes.subarray(at, Math.min(at + 100, end));
    if (isCut) throw new CutBody('The client went away.');
  }
  return { bytes: send(), length: isLengthKnown ? bytes.length : undefined };
}

/** A request that makes content visible: refused if its transaction began after the token's revocation was answered. */
export async function committing<T>(
  client: Client,
  who: Who,
  work: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const token = tokenOf(client, who);
  const value = await work();
  if (value !== undefined && token.revokedAt !== undefined && token.revokedAt < client.task.beganAt) {
    throw new Error(`A revoked token committed: revoked at ${token.revokedAt}, begun at ${client.task.beganAt}.`);
  }
  return value;
}

/** A request whose success promises that the digest stays. */
export async function promising<T>(
  client: Client,
  who: Who,
  name: string,
  digest: Digest,
  work: () => Promise<T>,
): Promise<T> {
  const { promises, platform } = client.world;
  const holder = holderOf(tokenOf(client, who), who);
  const mark = promises.begin({ repository: name, digest, holder }, platform.now());
  const value = await work();
  if (value !== undefined) promises.keep(mark);
  return value;
}

export const uploadForms = ['post', 'put', 'stream', 'chunks'] as const;
export type UploadForm = (typeof uploadForms)[number];

/** Uploads a blob in one of the ways clients do. */
export async function upload(client: Client, who: Who, name: string, content: Content, form: UploadForm) {
  const { platform } = client;
  const { bytes, digest } = content;
  const whole = (part: Buffer, isLengthKnown = true) => bodyOf(part, { isLengthKnown, isCut: false });
  return promising(client, who, name, digest, () =>
    committing(client, who, async () => {
      const { actor, repository } = await open(client, who, name);
      if (form === 'post') return putBlob(platform, actor, repository, { digest, body: whole(bytes) });
      const { id } = await startUpload(platform, actor, repository, digest.startsWith('sha512') ? 'sha512' : 'sha256');
      const next = async () => {
        const { actor, repository } = await open(client, who, name);
        return { actor, repository: { ...repository, id: repository.id ?? '' } };
      };
      let sent = 0;
      if (form === 'stream') {
        const { actor, repository } = await next();
        sent = (await appendChunk(platform, actor, repository, id, { body: whole(bytes, false) })).received;
      }
      for (; form === 'chunks' && sent + 120 < bytes.length; sent += 120) {
        const { actor, repository } = await next();
        const range = { start: sent, end: sent + 119 };
        await appendChunk(platform, actor, repository, id, { body: whole(bytes.subarray(sent, sent + 120)), range });
      }
      const last = await next();
      return finishUpload(platform, last.actor, last.repository, id, { digest, body: whole(bytes.subarray(sent)) });
    }),
  );
}

export async function head(client: Client, who: Who, name: string, digest: Digest) {
  return promising(client, who, name, digest, async () => {
    return getBlob(client.platform, ...(await asking(client, who, name, digest)), { promise: true });
  });
}

/** undefined: the blob cannot be mounted, and the client uploads it. */
export async function mount(client: Client, who: Who, name: string, digest: Digest, from: string | undefined) {
  return promising(client, who, name, digest, () =>
    committing(client, who, async () => {
      const { actor, repository } = await open(client, who, name);
      return mountBlob(client.platform, actor, repository, digest, { region: getRegion(client.platform), from });
    }),
  );
}

/** A blob's bytes as a client gets them. */
export async function pull(client: Client, who: Who, name: string, digest: Digest): Promise<void> {
  const blob = await getBlob(client.platform, ...(await asking(client, who, name, digest)), { promise: false });
  const bytes = Buffer.concat(await (await openBlob(client.platform, blob)).toArray());
  const found = digestOf(bytes, digest.startsWith('sha512') ? 'sha512' : 'sha256');
  if (found !== digest) throw new Error(`A pull of ${digest} gave ${found}.`);
}

/** Pushes a manifest. What its holder was promised must be there, unless a deletion came in between. */
export async function push(client: Client, who: Who, name: string, blobs: readonly Digest[], manifest: ManifestPush) {
  const { promises, platform, manifests } = client.world;
  const holder = holderOf(tokenOf(client, who), who);
  const promised = blobs.map((digest) => promises.find({ repository: name, digest, holder }, platform.now()));
  const end = promises.using(name, blobs, holder);
  try {
    return await committing(client, who, async () => {
      const { actor, repository } = await open(client, who, name);
      const pushed = await pushManifest(client.platform, actor, repository, manifest);
      manifests.get(name)?.add(pushed.digest);
      return pushed;
    });
  } catch (error) {
    const missing = error instanceof Failure ? (error.detail.missing ?? []) : [];
    const now = platform.now();
    const broken = promised.find((mark) => mark && missing.includes(mark.digest) && promises.holds(mark, now, end));
    if (broken) throw new Error(`Promised and missing: ${broken.digest} in ${name}, for ${broken.holder}.`);
    throw error;
  } finally {
    end();
  }
}
