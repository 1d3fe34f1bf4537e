import type { CompiledQuery } from 'kysely';

/**
 * Whether a statement only reads; none of ours writes behind a `with`. On both engines such statements have connections on
 * which nothing can be written.
 */
export function isSelect({ query, sql }: CompiledQuery): boolean {
  return query.kind === 'SelectQueryNode' || (query.kind === 'RawNode' && /^\s*(?:select|with)\b/i.test(sql));
}

/** An open cursor would hold a connection, and on SQLite keep the WAL from being checkpointed. */
export function refuseStreaming(): never {
  throw new Error('Rows are not streamed: page through them by key.');
}
