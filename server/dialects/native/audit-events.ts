import type { Static } from 'typebox';
import { type AuditEvent, AuditEventList, AuditEventQuery } from '#contract/audit-events.ts';
import { refer } from '#contract/values.ts';
import { type AuditEvent as CoreAuditEvent, listAuditEvents } from '#core/audit-events.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, type NativeApp, refusals } from './endpoint.ts';
import { fromPageQuery, fromTime, toList, toTime } from './wire.ts';

export function bindAuditEvents(app: NativeApp, platform: Platform): void {
  app.get(
    '/audit-events',
    {
      schema: {
        ...about('Audit', 'listAuditEvents', 'audit:read', 'List what was changed, newest first.'),
        querystring: AuditEventQuery,
        response: { 200: refer(AuditEventList), ...refusals() },
      },
    },
    async (request) => {
      const { limit: _limit, cursor: _cursor, from, to, ...filter } = request.query;
      const input = {
        ...fromPageQuery(request.query),
        ...filter,
        from: from === undefined ? undefined : fromTime(from, 'from'),
        to: to === undefined ? undefined : fromTime(to, 'to'),
      };
      return toList(await listAuditEvents(platform, actorOf(request), input), toWire);
    },
  );
}

function toWire(event: CoreAuditEvent): Static<typeof AuditEvent> {
  return { ...event, createdAt: toTime(event.createdAt) };
}
