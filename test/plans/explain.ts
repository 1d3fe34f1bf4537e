import type pg from 'pg';

export type Statement = { text: string; values: readonly unknown[] };

export type Explained = {
  /** The scans of the plan, from the outside in: `Index Scan tags_pkey`. */
  scans: string[];
  /** Looked at in tables and indexes, and what came of it. */
  rowsRead: number;
  rowsFound: number;
  /** Pages of 8 KiB. */
  pages: number;
  ms: number;
};

/** `generic`: made without the statement's values, as for one that is kept; `custom`: with them, each time anew. */
export type Mode = 'generic' | 'custom';

type Node = {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: Node[];
};

/**
 * Runs a statement, says how it was done, and undoes it.
 */
export async function explain(client: pg.Client, { text, values }: Statement, mode: Mode): Promise<Explained> {
  await client.query(`begin; set local plan_cache_mode = force_${mode}_plan; prepare asked as ${text}`);
  try {
    const args = values.length === 0 ? '' : `(${values.map(literalOf).join(', ')})`;
    const { rows } = await client.query(`explain (analyze, buffers, format json) execute asked${args}`);
    const [{ Plan: plan, 'Execution Time': ms }] = rows[0]['QUERY PLAN'] as [{ Plan: Node; 'Execution Time': number }];
    const nodes = [...walk(plan)];
    const scans = nodes.filter((node) => /Scan/.test(node['Node Type']) && nameOf(node) !== '');
    return {
      scans: scans.map((node) => `${node['Node Type']} ${nameOf(node)}`),
      rowsRead: scans.reduce((sum, node) => sum + readBy(node), 0),
      rowsFound: foundBy(plan),
      pages: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
      ms,
    };
  } finally {
    await client.query('rollback');
    await client.query('deallocate asked');
  }
}

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const child of node.Plans ?? []) yield* walk(child);
}

const nameOf = (node: Node) => node['Index Name'] ?? node['Relation Name'] ?? '';

function readBy(node: Node): number {
  const removed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
  return (node['Actual Rows'] + removed) * node['Actual Loops'];
}

/** What a change without `returning` changed is what it was given. */
function foundBy(plan: Node): number {
  const isSilent = plan['Node Type'] === 'ModifyTable' && plan['Actual Rows'] === 0;
  return isSilent ? (plan.Plans?.[0]?.['Actual Rows'] ?? 0) : plan['Actual Rows'];
}

function literalOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'number') return String(value);
  if (value instanceof Uint8Array) return `'\\x${Buffer.from(value).toString('hex')}'`;
  return `'${String(value).replaceAll("'", "''")}'`;
}
