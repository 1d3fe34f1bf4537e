import assert from 'node:assert/strict';
import { createConnection, type NewConnection } from '#core/connections.ts';
import { createProject } from '#core/projects.ts';
import { getPullSecret, type PullSecret } from '#core/pull-secrets.ts';
import type { Scope } from './database.ts';
import { openTestPlatform, type SeededTeam, seedTeam, type TestPlatform } from './platform.ts';

/** The host of the platform's own registries. */
export const ownHost = 'localhost:8080';

/** A team with the projects `default` and `shop`. */
export async function openPullSecretWorld(t: Scope, overrides: Parameters<typeof openTestPlatform>[1] = {}) {
  const platform = await openTestPlatform(t, overrides);
  const team = await seedTeam(platform, 'acme');
  const { owner } = team;
  const { project: shop } = await createProject(platform, owner, { name: 'shop' });
  const connect = (input: ConnectInput) => connectAs(platform, team, input);
  const read = (project = 'shop', actor = owner) => getPullSecret(platform, actor, { project });
  return { platform, team, owner, shop, connect, read };
}

type ConnectInput = Partial<NewConnection> & { name: string };

/** Unless said otherwise, to a host of its name. */
export function connectAs(platform: TestPlatform, { owner }: SeededTeam, { name, ...input }: ConnectInput) {
  const given = { provider: 'oci', url: `${name}.example.com`, username: `${name}-user`, password: `${name}-password` };
  return createConnection(platform, owner, { name, ...given, ...input });
}

export const keysOf = ({ entries }: PullSecret): string[] => entries.map(({ key }) => key);

/** User name and password under a key, which its `auth` says too. */
export function loginOf({ config }: PullSecret, key: string): [string, string] {
  const entry = config.auths[key];
  assert.ok(entry, `${key} is not among ${Object.keys(config.auths)}`);
  assert.equal(Buffer.from(entry.auth, 'base64').toString(), `${entry.username}:${entry.password}`);
  return [entry.username, entry.password];
}

/** What opens the platform's own registries. */
export const ownSecretOf = (secret: PullSecret): string => loginOf(secret, ownHost)[1];
