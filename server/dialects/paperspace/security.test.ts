// Every operation of both forms, asked by the wrong ones and in the wrong way. Whatever comes, the answer is a refusal that
// the vendor's own client can read.

import { test } from 'node:test';
import { assertNoDocumentHurts, testOperations } from '#test/dialect-security.ts';
import { openWorld } from '#test/paperspace-world.ts';

for (const form of ['form-a', 'form-b'] as const) {
  testOperations(form, (t) => openWorld(t, form));
  test(`${form}: what is no JSON object is no body`, async (t) => assertNoDocumentHurts(await openWorld(t, form)));
}
