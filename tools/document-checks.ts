import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { type Setting, settings } from '#server/config.ts';

// What the documents say, compared with what is there. Each check answers sentences about what is out of step.

const begin = '<!-- settings: made by tools/check-docs.ts --write -->';
const end = '<!-- end of settings -->';

/** The table of `docs/configuration.md`, from the program's own list. */
export function settingsTable(all: Readonly<Record<string, Setting<unknown>>> = settings): string {
  const rows = Object.values(all).map(({ name, fallback, doc, isSecret }) => {
    const value = fallback === '' ? '' : `\`${fallback}\``;
    return `| \`${name}\` | ${value} | ${doc.replaceAll('|', '\\|')}${isSecret ? ' **Secret.**' : ''} |`;
  });
  return ['| name | default | what it is |', '|---|---|---|', ...rows].join('\n');
}

/** The document with its table made anew; undefined if it has no place for one. */
export function withSettingsTable(document: string): string | undefined {
  const [start, stop] = [document.indexOf(begin), document.indexOf(end)];
  if (start < 0 || stop < start) return undefined;
  return `${document.slice(0, start + begin.length)}\n\n${settingsTable()}\n\n${document.slice(stop)}`;
}

export function checkSettings(root: string): string[] {
  const path = 'docs/configuration.md';
  const document = readIfThere(join(root, path));
  const expected = withSettingsTable(document);
  if (expected === undefined)
    return [`${path} has no place for the table of settings, between "${begin}" and "${end}".`];
  return expected === document ? [] : [`${path} differs from server/config.ts. Run: node tools/check-docs.ts --write`];
}

/** Names of settings in any document exist. Those of tests and scripts of this repository have prefixes of their own. */
export function checkSettingNames(root: string): string[] {
  const known = new Set<string>(Object.values(settings).map((setting) => setting.name));
  return documentsOf(root).flatMap((path) => {
    const names = readFileSync(join(root, path), 'utf8').match(/\bLADING_[A-Z_]+[A-Z]\b/g) ?? [];
    const unknown = new Set(names.filter((name) => !known.has(name) && !/^LADING_(?:TEST|CI|BENCH)_/.test(name)));
    return [...unknown].map((name) => `${path} speaks of ${name}, which is not a setting.`);
  });
}

/** Each folder of the tree in the README is there. */
export function checkTree(root: string): string[] {
  const blocks = readIfThere(join(root, 'README.md')).matchAll(/^```[^\n]*\n(.*?)^```/gms);
  return [...blocks]
    .flatMap(([, block = '']) => pathsOfTree(block))
    .flatMap((path) => (existsSync(join(root, path)) ? [] : [`README.md shows ${path}, which is not there.`]));
}

/** Lines such as `  core/   what it is`; a line that is further in belongs to the folder above it. */
export function pathsOfTree(block: string): string[] {
  const above: { indent: number; path: string }[] = [];
  return block.split('\n').flatMap((line) => {
    const [, blanks = '', name] = /^([\s│├└─]*)([A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_.-]+)*\/)(?:\s|$)/.exec(line) ?? [];
    if (name === undefined) return [];
    while ((above.at(-1)?.indent ?? -1) >= blanks.length) above.pop();
    const path = `${above.at(-1)?.path ?? ''}${name}`;
    above.push({ indent: blanks.length, path });
    return [path];
  });
}

/** Every relative link leads to a file or folder. */
export function checkLinks(root: string): string[] {
  return documentsOf(root).flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8').replace(/^```.*?^```/gms, '');
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
      if (/^(?:[a-z]+:|#)/.test(link)) return [];
      const target = normalize(join(dirname(path), link.replace(/#.*$/, '')));
      return existsSync(join(root, target)) ? [] : [`${path} links to ${link}, which is not there.`];
    });
  });
}

/** Decisions are numbered, and a number stands for one of them for ever. */
export function checkDecisions(root: string): string[] {
  const numbers = globSync('docs/decisions/*.md', { cwd: root }).map((path) => path.split('/').at(-1) ?? '');
  const misnamed = numbers.filter((name) => !/^\d{4}-[a-z0-9-]+\.md$/.test(name) && name !== 'README.md');
  const seen = Map.groupBy(numbers, (name) => name.slice(0, 4));
  return [
    ...misnamed.map((name) => `docs/decisions/${name} is not named NNNN-name.md.`),
    ...[...seen].filter(([, names]) => names.length > 1).map(([, names]) => `${names.join(' and ')} have one number.`),
  ];
}

function documentsOf(root: string): string[] {
  return globSync(['*.md', 'docs/**/*.md', 'bench/*.md'], { cwd: root }).toSorted();
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}
