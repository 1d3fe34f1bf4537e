import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scope } from '../database.ts';
import { findFreePort, startChild } from './child.ts';
import { answers } from './postgres.ts';

const NOBODY = 65_534;

/** A pooler in front of a Postgres; the URL of the database by way of it. */
export async function startPgbouncer(t: Scope, url: string, poolMode: 'session' | 'transaction'): Promise<string> {
  const target = new URL(url);
  const port = await findFreePort();
  const directory = await mkdtemp(join(tmpdir(), 'lading-pgbouncer-'));
  const [config, users] = [join(directory, 'pgbouncer.ini'), join(directory, 'users')];
  await writeFile(users, `"${target.username}" "${decodeURIComponent(target.password)}"\n`);
  await writeFile(
    config,
    `[databases]
* = host=${target.hostname} port=${target.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = ${poolMode}
default_pool_size = 50
`,
  );
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (user.uid !== undefined) await Promise.all([directory, config, users].map((path) => chown(path, NOBODY, NOBODY)));
  target.port = String(port);
  const child = await startChild('/usr/sbin/pgbouncer', ['-q', config], {
    ...user,
    cwd: directory,
    isReady: () => answers(target.href),
  });
  t.after(async () => {
    await child.stop('SIGTERM');
    await rm(directory, { recursive: true, force: true });
  });
  return target.href;
}
