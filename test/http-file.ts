// Requests as they stand in `.http` files, in the form of VS Code's REST Client.

export type HttpExample = {
  title: string;
  /** What later requests call its answer. */
  name: string | undefined;
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string | undefined;
};

export type HttpFile = { variables: ReadonlyMap<string, string>; examples: readonly HttpExample[] };

export function parseHttpFile(text: string): HttpFile {
  const [head = '', ...blocks] = text.split(/^### /m);
  const variables = new Map(
    [...head.matchAll(/^@(\w+) *= *(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
  return { variables, examples: blocks.map(parseExample) };
}

function parseExample(block: string): HttpExample {
  const [title = '', ...lines] = block.split('\n');
  const name = /^# @name (\w+)$/m.exec(block)?.[1];
  const request = lines.filter((line) => !line.startsWith('#'));
  const end = request.indexOf('');
  const [first = '', ...fields] = end < 0 ? request : request.slice(0, end);
  const body = end < 0 ? '' : request.slice(end).join('\n').trim();
  const [method = '', url = ''] = first.split(' ');
  const headers = Object.fromEntries(fields.map((line) => [line.split(':')[0] ?? '', line.replace(/^[^:]*: */, '')]));
  return { title: title.trim(), name, method, url, headers, body: body || undefined };
}

/** The text with its `{{variables}}`, and `{{name.response.body.$.path.to.it}}` of earlier answers. Throws for unknown ones. */
export function fillIn(
  text: string,
  variables: Readonly<Record<string, string>>,
  answers: ReadonlyMap<string, Readonly<Record<string, unknown>>>,
): string {
  return text.replaceAll(/\{\{([^}]+)\}\}/g, (all, inner: string) => {
    const [, name = '', path = ''] = /^(\w+)\.response\.body\.\$\.([\w.]+)$/.exec(inner) ?? [];
    const value = name ? valueAt(answers.get(name), path) : variables[inner];
    if (typeof value !== 'string') throw new Error(`${all} has no value`);
    return value;
  });
}

function valueAt(value: unknown, path: string): unknown {
  return path.split('.').reduce((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}
