// Upload sessions in the open, where several requests may meet in one: whatever was acknowledged is in it, once.

import fc from 'fast-check';
import { digestOf } from '#core/digest.ts';
import { appendChunk } from '#core/upload-chunks.ts';
import { finishUpload } from '#core/upload-finish.ts';
import { cancelUpload, startUpload } from '#core/uploads.ts';
import { content, kind, repository, who } from './command.ts';
import { attempt, bodyOf, committing, type Outcome, open, promising, type Sending } from './requests.ts';
import { type Client, contentOf, type TestSession, type Who } from './world.ts';

async function openSession(client: Client, { who, repository }: { who: Who; repository: string }): Promise<void> {
  const outcome = await attempt(async () => {
    const { actor, repository: access } = await open(client, who, repository);
    return startUpload(client.platform, actor, access);
  });
  if (!('value' in outcome)) return;
  const { id } = outcome.value;
  client.world.sessions.push({ id, repository, who, chunks: new Map(), active: 0, requests: 0, isUncertain: false });
}

/** The server knows it no more: finished, cancelled, expired, or its repository is gone. */
function forgetEnded({ world }: Client, session: TestSession, outcome: Outcome<unknown>): void {
  const isEnded = 'refused' in outcome && outcome.refused.reason === 'not_found';
  if (isEnded) world.sessions = world.sessions.filter((other) => other !== session);
}

/** What all acknowledged chunks make together. */
function bytesOf({ chunks }: TestSession): Buffer {
  const offsets = [...chunks.keys()].sort((a, b) => a - b);
  return Buffer.concat(offsets.map((offset) => chunks.get(offset) as Buffer));
}

async function inSession(
  client: Client,
  number: number,
  work: (session: TestSession, isAlone: () => boolean) => Promise<void>,
): Promise<void> {
  const { sessions } = client.world;
  const session = sessions[number % Math.max(sessions.length, 1)];
  if (!session) return;
  const isFirst = session.active === 0;
  const request = ++session.requests;
  session.active++;
  try {
    await work(session, () => isFirst && session.requests === request && !session.isUncertain);
  } catch (error) {
    session.isUncertain = true;
    throw error;
  } finally {
    session.active--;
  }
}

const openIn = async (client: Client, { who, repository: name }: TestSession) => {
  const { actor, repository } = await open(client, who, name);
  return { actor, repository: { ...repository, id: repository.id ?? '' } };
};

type Patch = { session: number; content: number; sending: Sending; isRanged: boolean };

async function patch(client: Client, input: Patch): Promise<void> {
  await inSession(client, input.session, async (session) => {
    const { bytes } = contentOf(client.world, input.content);
    const start = bytesOf(session).length;
    const range = input.isRanged && bytes.length > 0 ? { start, end: start + bytes.length - 1 } : undefined;
    const outcome = await attempt(async () => {
      const { actor, repository } = await openIn(client, session);
      return appendChunk(client.platform, actor, repository, session.id, { body: bodyOf(bytes, input.sending), range });
    });
    if ('lost' in outcome) session.isUncertain = true;
    forgetEnded(client, session, outcome);
    if (!('value' in outcome) || bytes.length === 0) return;
    if (input.sending.isCut) throw new Error('A body that was cut off was taken.');
    const offset = outcome.value.received - bytes.length;
    if (session.chunks.has(offset)) throw new Error(`Two chunks were taken at byte ${offset} of one upload.`);
    session.chunks.set(offset, bytes);
  });
}

type Close = { session: number; last: number | null; isWrong: boolean };

async function close(client: Client, { session: number, last, isWrong }: Close): Promise<void> {
  await inSession(client, number, async (session, isAlone) => {
    const { who, repository: name } = session;
    const { bytes } = contentOf(client.world, last ?? 0);
    const digest = digestOf(Buffer.concat([bytesOf(session), bytes, Buffer.from(isWrong ? 'wrong' : '')]));
    const body = bodyOf(bytes, { isLengthKnown: true, isCut: false });
    const outcome = await attempt(() =>
      promising(client, who, name, digest, () =>
        committing(client, who, async () => {
          const { actor, repository } = await openIn(client, session);
          return finishUpload(client.platform, actor, repository, session.id, { digest, body });
        }),
      ),
    );
    if ('lost' in outcome) session.isUncertain = true;
    forgetEnded(client, session, outcome);
    if ('value' in outcome && isWrong) throw new Error('An upload ended with a digest that is not its own.');
    if ('refused' in outcome && !isWrong && isAlone()) {
      const { reason, detail, message } = outcome.refused;
      const isFault = reason === 'range' || (reason === 'invalid' && detail.about === 'digest');
      if (isFault) throw new Error(`An upload does not hold what was acknowledged: ${message}`);
    }
  });
}

const session = fc.nat(2);

export const sessionKinds = {
  openSession: kind({ weight: 3, input: fc.record({ who, repository }), run: openSession }),
  patch: kind<Patch>({
    weight: 5,
    input: fc.record({
      session,
      content,
      sending: fc.record({ isLengthKnown: fc.boolean(), isCut: fc.oneof(fc.constant(false), fc.boolean()) }),
      isRanged: fc.boolean(),
    }),
    run: patch,
  }),
  close: kind<Close>({
    weight: 3,
    input: fc.record({ session, last: fc.option(content), isWrong: fc.constantFrom(false, false, false, true) }),
    run: close,
  }),
  cancel: kind<{ session: number }>({
    weight: 1,
    input: fc.record({ session }),
    run: (client, input) =>
      inSession(client, input.session, async (session) => {
        session.isUncertain = true;
        await attempt(async () => {
          const { actor, repository } = await openIn(client, session);
          await cancelUpload(client.platform, actor, repository, session.id);
        });
      }),
  }),
};
