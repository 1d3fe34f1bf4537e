import type { Scope } from './database.ts';
import { type Call, callerOf, type Dialect, openDialect } from './dialect-client.ts';

/** `b`: as the vendor documents it; `a`: as the description on APIs.io has it. Paths begin behind the collection. */
export type Paperspace = Dialect & { a: Call; b: Call };

export async function openPaperspace(t: Scope): Promise<Paperspace> {
  const dialect = await openDialect(t);
  const call = (base: string) => callerOf(dialect.app, dialect.team.secret, `${base}/container-registries`);
  return { ...dialect, a: call('/paperspace-apisio/v1'), b: call('/v1') };
}

/** A body that form B takes, and form A without what it does not know. */
export const body = (name: string, more: Readonly<Record<string, unknown>> = {}) => ({
  name,
  namespace: 'team',
  url: 'https://registry.example.com',
  username: 'alice',
  password: 'planted-password',
  ...more,
});
