import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';

// The dependency rule: everything may know the core, the core knows nobody, and nobody else knows each other. `app.ts`
// lists the surfaces, `open-platform.ts` opens the adapters, the commands join the two.

type Rule = {
  /** Folders and files whose import this part may use, besides its own. */
  knows: readonly string[];
  /** `any`: the parts that join things, and what is not the product. */
  packages: readonly string[] | 'any';
};

const surface = (...packages: string[]): Rule => ({
  knows: ['server/core', 'server/http'],
  packages: ['fastify', ...packages],
});
const adapter = (...packages: string[]): Rule => ({ knows: ['server/core'], packages: ['kysely', ...packages] });
/** Configuration, log, seals: what the commands start with. */
const shell: Rule = {
  knows: ['server/core', 'server/http', 'server/<shell>'],
  packages: ['pino', 'ipaddr.js', 'croner'],
};
const free: Rule = { knows: ['*'], packages: 'any' };

/** The longest path that fits decides. A folder that is not named here is a fault: it has no place yet. */
const rules: Readonly<Record<string, Rule>> = {
  contract: { knows: [], packages: ['typebox'] },
  'server/core': { knows: [], packages: ['kysely', 'lru-cache'] },
  'server/database': adapter('pg'),
  'server/blobs': {
    knows: ['server/core'],
    packages: ['@aws-sdk/client-s3', '@aws-sdk/s3-request-presigner', 'undici'],
  },
  'server/outbound': { knows: ['server/core'], packages: ['undici', 'ipaddr.js', 'tldts'] },
  'server/upstream': { knows: ['server/core'], packages: ['tldts', 'aws4fetch'] },
  'server/http': { knows: ['server/core'], packages: ['@fastify/proxy-addr', 'fastify', 'ipaddr.js', 'prom-client'] },
  'server/oci': surface('jose', 'lru-cache'),
  'server/dialects/native': {
    knows: ['server/core', 'server/http', 'contract'],
    packages: [
      'fastify',
      'typebox',
      '@fastify/fast-json-stringify-compiler',
      '@fastify/swagger',
      '@fastify/type-provider-typebox',
      'yaml',
    ],
  },
  'server/dialects/selectel': surface('typebox', '@fastify/type-provider-typebox'),
  'server/dialects/paperspace': surface('typebox', '@fastify/type-provider-typebox'),
  'server/dialects/nodion': surface('typebox', '@fastify/type-provider-typebox'),
  'server/dialects/northflank': surface('typebox', '@fastify/type-provider-typebox'),
  'server/transfer': adapter(),
  'server/jobs': { knows: ['server/core'], packages: ['croner'] },
  'server/app.ts': {
    knows: ['server/core', 'server/http', 'server/oci', 'server/dialects'],
    packages: ['fastify'],
  },
  'server/open-platform.ts': {
    knows: ['server/core', 'server/database', 'server/blobs', 'server/outbound', 'server/upstream', 'server/<shell>'],
    packages: [],
  },
  'server/open-copy.ts': {
    knows: ['server/core', 'server/database', 'server/blobs', 'server/transfer', 'server/<shell>'],
    packages: ['kysely'],
  },
  'server/commands': {
    knows: [
      'server/core',
      'server/http',
      'server/jobs',
      'server/transfer',
      'server/app.ts',
      'server/open-platform.ts',
      'server/open-copy.ts',
      'server/<shell>',
    ],
    packages: ['fastify'],
  },
  'server/main.ts': { knows: ['server/core', 'server/commands', 'server/<shell>'], packages: [] },
  'server/<shell>': shell,
  test: free,
  tools: free,
  bench: free,
};

export type Fault = { file: string; specifier: string; reason: string };

/** Every import of the tree that breaks the rule. Tests may import what they test with. */
export function findFaults(root: string): Fault[] {
  const aliases = readAliases(root);
  return listSources(root).flatMap((file) => {
    const own = partOf(file);
    if (own === undefined) return [{ file, specifier: '', reason: 'stands in a folder that no rule names' }];
    return listImports(readFileSync(join(root, file), 'utf8')).flatMap((specifier) => {
      const reason = judge(file, own, specifier, aliases);
      return reason === undefined ? [] : [{ file, specifier, reason }];
    });
  });
}

function judge(file: string, own: string, specifier: string, aliases: Aliases): string | undefined {
  const rule = rules[own] ?? free;
  if (specifier.startsWith('node:')) return undefined;
  const isRelative = specifier.startsWith('.');
  const target = isRelative ? posix.join(posix.dirname(file), specifier) : resolveAlias(specifier, aliases);
  if (target === undefined) return judgePackage(own, rule, specifier);
  const part = partOf(target);
  if (isRelative && part !== own && posix.dirname(target) !== posix.dirname(file))
    return 'leaves its folder: write it with a # at the beginning';
  if (part === undefined) return 'points into a folder that no rule names';
  const isKnown =
    part === own || rule.knows.some((known) => known === '*' || part === known || part.startsWith(`${known}/`));
  return isKnown ? undefined : `${own} may not know ${part}`;
}

function judgePackage(own: string, { packages }: Rule, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return 'has no entry in the imports of package.json';
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  return packages === 'any' || packages.includes(name) ? undefined : `${own} may not use the package ${name}`;
}

/** The part of the tree a file belongs to; undefined: none. */
function partOf(path: string): string | undefined {
  const fitting = Object.keys(rules).filter((part) => path === part || path.startsWith(`${part}/`));
  const longest = fitting.toSorted((a, b) => b.length - a.length)[0];
  if (longest !== undefined) return longest;
  return /^server\/[^/]+\.ts$/.test(path) ? 'server/<shell>' : undefined;
}

type Aliases = readonly { prefix: string; folder: string }[];

function readAliases(root: string): Aliases {
  const { imports = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    imports?: Record<string, string>;
  };
  return Object.entries(imports)
    .map(([from, to]) => ({ prefix: from.replace(/\*$/, ''), folder: to.replace(/^\.\//, '').replace(/\*$/, '') }))
    .toSorted((a, b) => b.prefix.length - a.prefix.length);
}

function resolveAlias(specifier: string, aliases: Aliases): string | undefined {
  const alias = aliases.find(({ prefix }) => specifier.startsWith(prefix));
  return alias && alias.folder + specifier.slice(alias.prefix.length);
}

const roots = ['server', 'contract', 'client', 'cli', 'test', 'tools', 'bench'];
const isTest = /\.(?:test|contract)\.ts$/;

function listSources(root: string): string[] {
  return roots.flatMap((folder) => {
    const entries = tryRead(join(root, folder));
    return entries
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !isTest.test(entry.name))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .filter((file) => !file.includes('node_modules/'))
      .toSorted();
  });
}

function tryRead(folder: string) {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true });
  } catch {
    return [];
  }
}

/** Static, re-exporting, bare and dynamic imports; of types too, since a type is knowledge. */
export function listImports(source: string): string[] {
  const statics = source.matchAll(/(?:^|[\n;])\s*(?:import|export)\b(?:[^'";]*?\bfrom)?\s*['"]([^'"\n]+)['"]/g);
  const dynamics = source.matchAll(/\bimport\(\s*['"]([^'"\n]+)['"]/g);
  return [...statics, ...dynamics].map(([, specifier = '']) => specifier);
}
