// Every operation of both forms, asked by the wrong ones and in the wrong way. Whatever comes, the answer is a refusal that
// the vendor's own client can read.

import { test } from 'node:test';
import {
  assertHidesOtherTeams,
  assertNoDocumentHurts,
  assertNoSegmentHurts,
  assertNoValueHurts,
  assertTakesEmptyBodies,
  assertTakesKeys,
  assertTakesPermissions,
} from '#test/dialect-security.ts';
import { openWorld } from '#test/paperspace-world.ts';

for (const form of ['form-a', 'form-b'] as const) {
  test(`${form}: what another team has is not found, in the words for what never was`, async (t) =>
    assertHidesOtherTeams(await openWorld(t, form)));
  test(`${form}: each operation takes its permission, and no other will do`, async (t) =>
    assertTakesPermissions(await openWorld(t, form)));
  test(`${form}: without an API key nothing is said`, async (t) => assertTakesKeys(await openWorld(t, form)));
  test(`${form}: no path segment is more than not found`, async (t) => assertNoSegmentHurts(await openWorld(t, form)));
  test(`${form}: no value of a body is more than invalid`, async (t) => assertNoValueHurts(await openWorld(t, form)));
  test(`${form}: what is no JSON object is no body`, async (t) => assertNoDocumentHurts(await openWorld(t, form)));
  test(`${form}: a media type without a body is no fault`, async (t) =>
    assertTakesEmptyBodies(await openWorld(t, form)));
}
