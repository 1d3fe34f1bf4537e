import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { type Lading, type LadingOptions, startLading } from '../servers/lading.ts';
import { openWorkbench, type Workbench } from './workbench.ts';

/** One server for a file of client tests, the names of repositories on it, and what only its owner can prepare. */
export type Suite = {
  lading: Lading;
  bench: Workbench;
  /** `127.0.0.1:PORT/default/<repository>`, as clients name it. */
  ref: (repository: string, registry?: string) => string;
};

/**
 * Fills the suite before the first test of the file and ends the server after the last.
 * What else must stand before the first test belongs into `prepare`: hooks of one file do not wait for each other.
 */
export function useLading(
  prepare: (suite: Suite) => Promise<unknown> = async () => {},
  options: LadingOptions = {},
): Suite {
  const suite = {} as Suite;
  before(async () => {
    suite.lading = await startLading(options);
    suite.bench = await openWorkbench();
    suite.ref = (repository, registry = 'default') => `${suite.lading.host}/${registry}/${repository}`;
    await prepare(suite);
  });
  after(async () => {
    await suite.bench?.remove();
    // A client may leave connections open; the server must end in order all the same.
    if (suite.lading) assert.equal(await suite.lading.stop(), 0, suite.lading.child.output());
  });
  return suite;
}

/** A request to the server in the owner's name. */
export async function ask(lading: Lading, method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(`${lading.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${lading.key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** The secret of a new registry token. */
export async function makeToken(lading: Lading, scope: 'ro' | 'rw'): Promise<string> {
  const answer = await ask(lading, 'POST', '/lading/v1/tokens', {
    name: `client-${scope}-${Date.now()}`,
    scope,
    registryIds: null,
  });
  const body = (await answer.json()) as { secret?: string };
  assert.equal(answer.status, 201, JSON.stringify(body));
  assert.ok(body.secret);
  return body.secret;
}

/** A registry that anyone may pull from. */
export async function makePublicRegistry(lading: Lading, name: string): Promise<void> {
  const answer = await ask(lading, 'POST', '/lading/v1/registries', { name, isPublic: true });
  assert.equal(answer.status, 201, await answer.text());
}

/** The digest a tag names on the server, asked without any client. */
export async function digestOf(lading: Lading, repository: string, tag: string): Promise<string | null> {
  const answer = await ask(lading, 'HEAD', `/v2/${repository}/manifests/${tag}`);
  assert.equal(answer.status, 200, `${repository}:${tag}`);
  return answer.headers.get('docker-content-digest');
}
