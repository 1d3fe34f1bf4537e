import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestPlatform, seedTeam } from '#test/platform.ts';
import { updateActor } from './actors.ts';
import type { Log } from './platform.ts';
import { countRefusedSignIn, flushRefusedSignIns } from './refused-sign-ins.ts';

const minuteMs = 60_000;

async function open(t: Parameters<typeof openTestPlatform>[0]) {
  const lines: { fields: object; message: string }[] = [];
  const keep = (fields: object, message: string) => lines.push({ fields, message });
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep };
  const platform = await openTestPlatform(t, { log });
  const team = await seedTeam(platform, 'acme');
  const events = async () => {
    const rows = await platform.db
      .selectFrom('audit_events')
      .selectAll()
      .orderBy('created_at')
      .orderBy('address')
      .execute();
    return rows.map(({ team_id, actor_id, action, address, detail }) => ({
      team_id,
      actor_id,
      action,
      address,
      ...JSON.parse(detail),
    }));
  };
  return { platform, team, lines, events };
}

test('refused sign-ins are one audit event for each actor and minute, with their number', async (t) => {
  const { platform, team, events } = await open(t);
  await updateActor(platform, team.owner.id, team.teamId, { revoked_at: platform.now() });
  await countRefusedSignIn(platform, { secret: team.secret }, '192.0.2.1');
  await countRefusedSignIn(platform, { actorId: team.owner.id }, '192.0.2.2');
  await flushRefusedSignIns(platform);
  assert.deepEqual(await events(), [], 'the minute is not over');
  platform.clock.advance(minuteMs);
  await countRefusedSignIn(platform, { secret: team.secret }, '192.0.2.3');
  await Promise.all([flushRefusedSignIns(platform), flushRefusedSignIns(platform)]);
  const ofActor = { team_id: team.teamId, actor_id: team.owner.id, action: 'sign-in.refuse', why: 'revoked' };
  const first = { ...ofActor, address: '192.0.2.2', count: 2, minute: '2026-01-01T00:00:00.000Z' };
  assert.deepEqual(await events(), [first]);
  await flushRefusedSignIns(platform, { all: true });
  const second = { ...ofActor, address: '192.0.2.3', count: 1, minute: '2026-01-01T00:01:00.000Z' };
  assert.deepEqual(await events(), [first, second]);
});

test('a secret that nobody has is counted in the log by address, and neither it nor its hash is written', async (t) => {
  const { platform, lines, events } = await open(t);
  for (let i = 0; i < 3; i++) await countRefusedSignIn(platform, { secret: 'a-guessed-secret' }, '192.0.2.9');
  await flushRefusedSignIns(platform, { all: true });
  assert.deepEqual(await events(), []);
  assert.deepEqual(
    lines.map(({ fields }) => fields),
    [{ address: '192.0.2.9', count: 3 }],
  );
  assert.ok(!JSON.stringify(lines).includes('guessed'));
});

test('what is remembered between two writings does not grow with the number of addresses', async (t) => {
  const { platform } = await open(t);
  for (let i = 0; i < 2500; i++) await countRefusedSignIn(platform, { secret: 'x' }, `address ${i}`);
  assert.ok(platform.local.refusedSignIns.size <= 1000);
});
