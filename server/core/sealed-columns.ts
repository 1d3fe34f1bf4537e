/**
 * Every column that holds a sealed value. What is sealed is bound to its context, `<table>/<key of the row>` with the
 * column's suffix, so that it opens in no other place. Here the start looks for keys that are missing, and the rotation
 * of the master key for what is left to do: a column that is not in this list would be lost with the key that sealed it.
 */
export type SealedColumn = {
  table: string;
  /** The primary key. */
  key: string;
  column: string;
  suffix: string;
  /** What its values are, for people. */
  title: string;
};

export const sealedIn = {
  signingKeys: {
    table: 'signing_keys',
    key: 'id',
    column: 'sealed_private_jwk',
    suffix: '',
    title: 'keys that sign access tokens',
  },
  clusters: {
    table: 'clusters',
    key: 'id',
    column: 'sealed_credentials',
    suffix: '',
    title: 'credentials of clusters',
  },
  integrations: {
    table: 'cluster_integrations',
    key: 'id',
    column: 'sealed_token',
    suffix: '',
    title: 'tokens for clusters',
  },
  connections: {
    table: 'connections',
    key: 'id',
    column: 'sealed_secret',
    suffix: '',
    title: 'secrets of connections',
  },
  replacements: {
    table: 'connections',
    key: 'id',
    column: 'sealed_replacement',
    suffix: '/replacement',
    title: 'secrets that wait to replace one of a connection',
  },
  pullTokens: {
    table: 'project_pull_tokens',
    key: 'project_id',
    column: 'sealed_token',
    suffix: '',
    title: 'pull tokens of projects',
  },
} as const satisfies Readonly<Record<string, SealedColumn>>;

export const sealedColumns: readonly SealedColumn[] = Object.values(sealedIn);

/** What the value in this column of the row with this key is bound to. */
export function sealContext({ table, suffix }: SealedColumn, key: string): string {
  return `${table}/${key}${suffix}`;
}

export const nameOf = ({ table, column }: SealedColumn): string => `${table}.${column}`;
