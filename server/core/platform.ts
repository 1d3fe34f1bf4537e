import type { Readable } from 'node:stream';
import type { Kysely } from 'kysely';
import type { LocalState } from './local-state.ts';
import type { Outbound } from './outbound.ts';
import type { Schema } from './schema.ts';
import type { Upstream } from './upstream.ts';

/** What the core may reach outside itself. All effects, no operations. */
export type Platform = {
  db: Kysely<Schema>;
  /**
   * For single selects that read much: they stop nobody else and have minutes of time, but see nothing of a transaction
   * that has not ended.
   */
  scans: Kysely<Schema>;
  blobs: BlobStore;
  secrets: Secrets;
  outbound: Outbound;
  upstream: Upstream;
  /** Milliseconds UTC; fixed inside a transaction. */
  now: () => number;
  log: Log;
  config: CoreConfig;
  /** What this process remembers. Always safe to lose. */
  local: LocalState;
};

/** Both ends inclusive, as in HTTP. */
export type ByteRange = { start: number; end: number };

/** Who has done with a chunk may give it back, and then not look at it again: its memory is filled with the next bytes. */
export type BlobStream = Readable & { giveBack?(chunk: Uint8Array): void };

/**
 * Immutable objects under unique keys. A key is made once and never used again, so nothing here overwrites.
 * Errors are the engine's own (the disk is full, the network is gone) and never mean "not there".
 */
export type BlobStore = {
  /** Writes all bytes and resolves with their number once they are durable. If `bytes` throws, nothing remains. */
  write(key: string, bytes: AsyncIterable<Uint8Array>): Promise<number>;
  /** Makes one object of `parts`, in order. Resolves with its size once durable; undefined, and no object, if one is missing. */
  join(key: string, parts: readonly string[]): Promise<number | undefined>;
  /** Opens the object, or a part of it; undefined if it is not there. The caller consumes or destroys the stream. */
  read(key: string, range?: ByteRange): Promise<BlobStream | undefined>;
  /** Bytes of a stored object; undefined if it is not there. */
  size(key: string): Promise<number | undefined>;
  /**
   * Removes the object and what an aborted `write` or `join` left of it. A missing key is a success. `isWhole`: the one
   * that made it came to its end, so there is nothing else to look for.
   */
  remove(key: string, hint?: { isWhole: boolean }): Promise<void>;
  /** How many removals the store takes side by side; undefined: one. */
  removalsAtOnce?: number;
  /** A URL at which a client may read the object itself for some minutes, where the store can give one. */
  redirect?(key: string): Promise<string>;
  /** Throws if the store cannot take a write now (readiness). */
  check(): Promise<void>;
};

/** Seals what must be read again. `context` (table and row id) is bound in: a sealed value moved elsewhere does not open. */
export type Secrets = {
  seal(plaintext: string, context: string): string;
  open(sealed: string, context: string): string;
  /** The keys that open, the one that seals first. None while there is no key because nothing was ever sealed. */
  keyIds(): readonly string[];
  /** How everything begins that is sealed with this key. */
  prefixOf(keyId: string): string;
};

export type Log = {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
};

/** `id` is the UUID of its row, `slug` the id it has in the configuration, `host` is `name[:port]`, lower case. */
export type Region = { id: string; slug: string; name: string; host: string };

export type CoreConfig = {
  /** The first is the default one. */
  regions: readonly Region[];
  /** Bytes a new registry may hold unless said otherwise. */
  registryLimitBytes: number;
  registriesPerTeam: number;
  /** Of each API key, on all management surfaces together; null: as many as it likes. */
  requestsPerHour: number | null;
  /** Whether a registry elsewhere may be spoken to without TLS: where the operator named its host or address. */
  allowsPlainHttp: (hostname: string, port: number) => boolean;
  /** How long after a test a connection is tried again; null: only when asked. */
  connectionCheckIntervalMs: number | null;
};
