import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { after, before } from 'node:test';
import pg from 'pg';
import { pause } from '../servers/child.ts';
import { type Replica, type Replicas, type ReplicasOptions, startReplicas } from '../servers/replicas.ts';

/** Anything that is asked: the load balancer, or one replica past it. */
export type Place = { url: string };

// biome-ignore lint/suspicious/noExplicitAny: bodies as they come.
type Json = any;
export type Answer = { status: number; headers: Headers; bytes: Buffer; text: string; json: Json };
export type Asking = {
  body?: Buffer | string | object;
  headers?: Record<string, string>;
  /** The owner's key, unless another secret asks. */
  secret?: string;
};

export type World = Replicas & {
  /** The three replicas, by the names that tests give them. */
  a: Replica;
  b: Replica;
  c: Replica;
  ask: (place: Place, method: string, path: string, asking?: Asking) => Promise<Answer>;
  /** Asked of the database behind everybody's back. */
  rows: (statement: string, values?: unknown[]) => Promise<Json[]>;
  /** A connection of one's own, for locks. It ends with the tests. */
  connect: () => Promise<pg.Client>;
};

/** Three replicas behind nginx for all tests of a file. */
export function useReplicas(options: () => ReplicasOptions | Promise<ReplicasOptions> = () => ({})): World {
  const world = {} as World;
  const clients: pg.Client[] = [];
  const watchers: pg.Pool[] = [];
  before(async () => {
    const replicas = await startReplicas(await options());
    const [a, b, c] = replicas.replicas as [Replica, Replica, Replica];
    const connect = async () => {
      const client = new pg.Client({ connectionString: replicas.databaseUrl });
      await client.connect();
      clients.push(client);
      return client;
    };
    const watching = new pg.Pool({ connectionString: replicas.databaseUrl, max: 4 });
    watchers.push(watching);
    const rows: World['rows'] = async (statement, values) => (await watching.query(statement, values)).rows;
    Object.assign(world, replicas, { a, b, c, ask: askerOf(replicas.key), rows, connect });
  });
  after(async () => {
    for (const client of [...clients, ...watchers]) await client.end();
    await world.stop?.();
  });
  return world;
}

function askerOf(key: string): World['ask'] {
  return async ({ url }, method, path, { body, headers, secret = key } = {}) => {
    const isJson = body !== undefined && typeof body === 'object' && !Buffer.isBuffer(body);
    const answer = await fetch(new URL(path, url), {
      method,
      headers: { authorization: `Bearer ${secret}`, ...(isJson && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: isJson ? JSON.stringify(body) : body }),
    } as RequestInit);
    const bytes = Buffer.from(await answer.arrayBuffer());
    return {
      status: answer.status,
      headers: answer.headers,
      bytes,
      text: bytes.toString(),
      get json() {
        return JSON.parse(bytes.toString());
      },
    };
  };
}

export const digestOf = (bytes: Buffer | string) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export const newName = (prefix: string) => `${prefix}-${randomBytes(4).toString('hex')}`;

export function locationOf({ headers, text }: Answer): string {
  const location = headers.get('location');
  if (location === null) throw new Error(`no Location: ${text}`);
  return location;
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';

export function toManifest(config: Buffer, layer: Buffer): Buffer {
  const describe = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: describe('application/vnd.oci.image.config.v1+json', config),
      layers: [describe('application/vnd.oci.image.layer.v1.tar', layer)],
    }),
  );
}

export async function pushBlob({ ask }: World, place: Place, repository: string, bytes: Buffer): Promise<string> {
  const digest = digestOf(bytes);
  const { status, text } = await ask(place, 'POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
    body: bytes,
  });
  if (status !== 201) throw new Error(`push of a blob: ${status} ${text}`);
  return digest;
}

/** Pushes an image of one random layer; its digest, and those of its parts. */
export async function pushImage(world: World, place: Place, repository: string, tag: string) {
  const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', config: {}, nonce: newName('n') }));
  const layer = randomBytes(2000);
  const parts = [await pushBlob(world, place, repository, config), await pushBlob(world, place, repository, layer)];
  const bytes = toManifest(config, layer);
  const headers = { 'content-type': manifestType };
  const { status, text } = await world.ask(place, 'PUT', `/v2/${repository}/manifests/${tag}`, {
    body: bytes,
    headers,
  });
  if (status !== 201) throw new Error(`push of a manifest: ${status} ${text}`);
  return { digest: digestOf(bytes), bytes, parts };
}

export async function makeRegistry({ ask }: World, place: Place, name: string): Promise<string> {
  const made = await ask(place, 'POST', '/lading/v1/registries', { body: { name } });
  if (made.status !== 201) throw new Error(made.text);
  return made.json.id;
}

/** A request whose body is sent by hand: half of it stands still while something else happens. */
export function openRequest(place: Place, method: string, path: string, headers: Record<string, string>) {
  const sent = request(new URL(path, place.url), { method, headers });
  const answer = new Promise<{ status: number; text: string }>((resolve, reject) => {
    sent.once('error', reject);
    sent.once('response', async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
    });
  });
  return { sent, answer };
}

/** Asks until it is so; fails with what was seen last. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  withinMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await pause(20);
  }
}
