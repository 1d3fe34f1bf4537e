import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedKey, seedTeam } from '#test/platform.ts';
import { recordAudit } from './audit.ts';
import { type AuditFilter, listAuditEvents, removeOldAuditEvents } from './audit-events.ts';

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const platform = await openTestPlatform(t);
  const team = await seedTeam(platform, 'acme');
  const { actor: ci } = await seedKey(platform, team.teamId);
  const done = [
    [team.owner, 'registry.create', 'a'],
    [ci, 'registry.update', 'a'],
    [ci, 'token.create', 'b'],
    [team.owner, 'registry.delete', 'a'],
    [team.owner, 'registry_x.odd', 'c'],
  ] as const;
  const start = platform.now();
  for (const [actor, action, id] of done) {
    platform.clock.advance(1000);
    const target = { kind: action.split('.')[0] ?? '', id, name: `name of ${id}` };
    await recordAudit(platform, { ...actor, address: '192.0.2.1' }, { action, target, detail: { n: 1 } });
  }
  const list = async (filter: AuditFilter) => {
    const { items } = await listAuditEvents(platform, team.owner, { limit: 10, ...filter });
    return items.map(({ action }) => action);
  };
  return { platform, team, ci, start, list };
}

test('events say who did what to what, when and from where, newest first', async (t) => {
  const { platform, team, list } = await open(t);
  assert.deepEqual(await list({}), [
    'registry_x.odd',
    'registry.delete',
    'token.create',
    'registry.update',
    'registry.create',
  ]);
  const { items } = await listAuditEvents(platform, team.owner, { limit: 1 });
  assert.deepEqual(items, [
    {
      id: items[0]?.id,
      actor: { kind: 'key', id: team.owner.id, name: 'owner' },
      action: 'registry_x.odd',
      target: { kind: 'registry_x', id: 'c', name: 'name of c' },
      detail: { n: 1 },
      address: '192.0.2.1',
      createdAt: platform.now(),
    },
  ]);
});

test('events are filtered by actor, action, target and time', async (t) => {
  const { ci, start, list } = await open(t);
  const cases: [AuditFilter, string[]][] = [
    [{ actorId: ci.id }, ['token.create', 'registry.update']],
    [{ action: 'registry.update' }, ['registry.update']],
    [{ action: 'registry' }, ['registry.delete', 'registry.update', 'registry.create']],
    [{ targetId: 'a', actorId: ci.id }, ['registry.update']],
    [{ targetKind: 'token' }, ['token.create']],
    [{ targetName: 'name of b' }, ['token.create']],
    [{ from: start + 2000, to: start + 4000 }, ['token.create', 'registry.update']],
    [{ from: start + 9000 }, []],
    [{ action: "x' or 1=1" }, []],
    [{ action: '%' }, []],
    [{ targetId: 'a\0' }, []],
  ];
  for (const [filter, expected] of cases) assert.deepEqual(await list(filter), expected, JSON.stringify(filter));
});

test('pages of events hold each once, also those of one moment', async (t) => {
  const { platform, team } = await open(t);
  for (let i = 0; i < 5; i++) {
    await recordAudit(platform, team.owner, { action: 'same.moment', target: { kind: 'x', id: `${i}`, name: '' } });
  }
  const seen: string[] = [];
  let after = null;
  do {
    const page = await listAuditEvents(platform, team.owner, { limit: 3, after });
    seen.push(...page.items.map(({ id }) => id));
    after = page.nextCursor;
  } while (after);
  assert.equal(seen.length, 10);
  assert.equal(new Set(seen).size, 10);
});

test("another team's events are not there, and a key bound to projects reads none", async (t) => {
  const { platform, team } = await open(t);
  const other = await seedTeam(platform, 'other');
  const filter = { limit: 10, actorId: team.owner.id };
  assert.deepEqual((await listAuditEvents(platform, other.owner, filter)).items, []);
  const { actor: bound } = await seedKey(platform, team.teamId, { projectIds: [team.projectId] });
  await assert.rejects(listAuditEvents(platform, bound, { limit: 1 }), { reason: 'denied' });
  const { actor: blind } = await seedKey(platform, team.teamId, { permissions: ['keys:read'] });
  await assert.rejects(listAuditEvents(platform, blind, { limit: 1 }), { reason: 'denied', message: /audit:read/ });
});

test('old events go in batches, younger ones stay', async (t) => {
  const { platform, start, list } = await open(t);
  assert.equal(await removeOldAuditEvents(platform, start + 4000, 2), 2);
  assert.equal(await removeOldAuditEvents(platform, start + 4000, 2), 1);
  assert.equal(await removeOldAuditEvents(platform, start + 4000, 2), 0);
  assert.deepEqual(await list({}), ['registry_x.odd', 'registry.delete']);
});
