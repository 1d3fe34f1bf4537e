import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSharedRoom, type Room } from './s3-room.ts';

test('who finds no room waits for his turn, and the first who came is the first who enters', async () => {
  const room = newSharedRoom(10);
  const entered: number[] = [];
  const first = await room.take(10);
  const rooms: Room[] = [];
  const takes = [4, 6, 1].map(async (bytes) => {
    rooms.push(await room.take(bytes));
    entered.push(bytes);
  });
  await Promise.resolve();
  assert.deepEqual(entered, []);
  assert.ok(room.isTight());
  first.giveBack();
  first.giveBack();
  await Promise.all(takes.slice(0, 2));
  assert.deepEqual(entered, [4, 6], 'what is given back twice counts once');
  rooms[0]?.giveBack();
  await Promise.all(takes);
  assert.equal(room.isTight(), false);
});

test('what is larger than all of it enters when nobody else is there', async () => {
  const room = newSharedRoom(10);
  const large = await room.take(30);
  const next = room.take(1);
  large.giveBack();
  (await next).giveBack();
});
