// What this process works on is kept alive by it, minute by minute: a slow body may take hours, a crash must not.

import type { Platform } from './platform.ts';
import { transact } from './transact.ts';
import { idleMs } from './uploads.ts';

/** Marks an upload as being worked on, so that `renewUploads` keeps it alive under a slow body or a long join. */
export async function whileActive<T>({ local }: Platform, id: string, work: () => Promise<T>): Promise<T> {
  local.activeUploads.set(id, (local.activeUploads.get(id) ?? 0) + 1);
  try {
    return await work();
  } finally {
    const left = (local.activeUploads.get(id) ?? 1) - 1;
    if (left === 0) local.activeUploads.delete(id);
    else local.activeUploads.set(id, left);
  }
}

const renewalBatch = 500;

/** Each minute, beside `renewWriters`. */
export async function renewUploads(platform: Platform): Promise<void> {
  const ids = [...platform.local.activeUploads.keys()];
  for (let i = 0; i < ids.length; i += renewalBatch) {
    // Two replicas may renew the same uploads, each in its order.
    await transact(platform, ({ db, now }) =>
      db
        .updateTable('uploads')
        .set({ expires_at: now() + idleMs })
        .where('id', 'in', ids.slice(i, i + renewalBatch))
        .execute(),
    );
  }
  await forgetEndedUploads(platform);
}

/** Hashes of uploads that another replica ended would stay for ever. */
async function forgetEndedUploads({ db, local }: Platform): Promise<void> {
  const ids = [...local.uploadHashes.keys()];
  for (let i = 0; i < ids.length; i += renewalBatch) {
    const batch = ids.slice(i, i + renewalBatch);
    const rows = await db.selectFrom('uploads').select('id').where('id', 'in', batch).execute();
    const alive = new Set(rows.map((row) => row.id));
    for (const id of batch) if (!alive.has(id)) local.uploadHashes.delete(id);
  }
}
