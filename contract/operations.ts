import { Type } from 'typebox';
import { listOf, pageQuery } from './page.ts';
import { Bytes, Id, named, nullable, oneOf, Time } from './values.ts';

const State = oneOf(['queued', 'running', 'done', 'failed']);

export const Operation = named(
  'Operation',
  {
    id: Id,
    kind: Type.String({ examples: ['delete_registry'] }),
    state: State,
    registryId: nullable(Id),
    registryName: nullable(Type.String()),
    repositoryId: nullable(Id),
    freedBytes: Bytes,
    progress: Type.Record(Type.String(), Type.Integer(), { description: 'What is done so far, by kind of thing.' }),
    attempts: Type.Integer({ minimum: 0, description: 'How often it failed so far.' }),
    error: nullable(Type.String()),
    createdAt: Time,
    startedAt: nullable(Time),
    finishedAt: nullable(Time),
  },
  'Long-running work.',
);

export const OperationList = listOf(Operation);
export const OperationQuery = Type.Object(
  {
    ...pageQuery,
    registryId: Type.Optional(Type.String({ maxLength: 255 })),
    state: Type.Optional(State),
  },
  { additionalProperties: false },
);
