import { Failure } from '#core/failure.ts';
import { findInstallation, requireWhole } from '#core/installations.ts';
import { migrations } from './migrate.ts';
import { findSchemaVersion, openSnapshot, type SnapshotOptions } from './snapshot.ts';

const latest = migrations.at(-1)?.number ?? 0;

/**
 * Before a command that works beside servers opens their database, which would bring it to this release's schema: that is
 * for servers to do, because older ones do not start on it any more. Throws `unavailable`.
 */
export async function requireInspectable(options: SnapshotOptions): Promise<void> {
  const snapshot = await openSnapshot(options);
  try {
    const version = snapshot && (await findSchemaVersion(snapshot));
    if (!snapshot || version === undefined) {
      throw new Failure('unavailable', 'The database has no tables of Lading. The first start of a server makes them.');
    }
    if (version !== latest) throw otherSchema(version);
    requireWhole(await findInstallation(snapshot.db));
  } finally {
    await snapshot?.close();
  }
}

function otherSchema(version: number): Failure {
  const sentence =
    version < latest
      ? `The database has the schema of an older Lading (${version}; this one has ${latest}). Start the servers of this release first, or use the release that runs.`
      : `The database has the schema of a newer Lading (${version}; this one has ${latest}). Use the release that runs.`;
  return new Failure('unavailable', sentence);
}
