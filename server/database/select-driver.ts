import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import { refuseStreaming } from './statements.ts';

/** Where there is one connection, which only reads. `refusal` says why nobody begins a transaction there. */
export function newSelectDriver(
  ask: (query: CompiledQuery) => Promise<unknown[]>,
  { refusal, destroy = async () => {} }: { refusal: string; destroy?: () => Promise<void> },
): Driver {
  const connection: DatabaseConnection = {
    executeQuery: async <R>(query: CompiledQuery): Promise<QueryResult<R>> => ({ rows: (await ask(query)) as R[] }),
    streamQuery: refuseStreaming,
  };
  const refuseTransaction = () => Promise.reject(new Error(refusal));
  return {
    init: async () => {},
    acquireConnection: async () => connection,
    beginTransaction: refuseTransaction,
    commitTransaction: refuseTransaction,
    rollbackTransaction: refuseTransaction,
    releaseConnection: async () => {},
    destroy,
  };
}
