import { Type } from 'typebox';
import { listOf, pageQuery } from './page.ts';
import { Id, named, Time } from './values.ts';

export const AuditEvent = named('AuditEvent', {
  id: Id,
  action: Type.String({ examples: ['registry.create', 'manifest.push', 'token.revoke'] }),
  actor: Type.Object({ kind: Type.String(), id: Type.String(), name: Type.String() }),
  target: Type.Object({ kind: Type.String(), id: Type.String(), name: Type.String() }),
  detail: Type.Record(Type.String(), Type.Unknown()),
  address: Type.String({ description: 'The address it came from.' }),
  createdAt: Time,
});

const Filter = Type.String({ maxLength: 255 });

export const AuditEventList = listOf(AuditEvent);
export const AuditEventQuery = Type.Object(
  {
    ...pageQuery,
    action: Type.Optional(
      Type.String({ maxLength: 255, description: 'registry.create, or registry for all about registries.' }),
    ),
    actorId: Type.Optional(Filter),
    targetKind: Type.Optional(Filter),
    targetId: Type.Optional(Filter),
    targetName: Type.Optional(Filter),
    from: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description: 'From this time on.' })),
    to: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description: 'Before this time.' })),
  },
  { additionalProperties: false },
);
