/** One way in that a server offers. Names of parameters are in lower case; of a name given twice the first counts. */
export type Challenge = { scheme: string; parameters: ReadonlyMap<string, string> };

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
// Values without quotes are tokens in RFC 9110; registries in the wild leave the quotes of a URL out as well.
const parameterPattern = new RegExp(`(${token})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s,"]+))`, 'y');
const schemePattern = new RegExp(`(${token})(?=[ \\t,]|$)`, 'y');
const token68Pattern = /[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/y;
const gapPattern = /[ \t,]*/y;

/**
 * Reads `WWW-Authenticate` (RFC 9110, 11.6.1), several challenges in one value too: a comma separates both challenges and
 * their parameters, so what follows one tells which it was. What cannot be read ends the list.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(header);
    if (found) at = pattern.lastIndex;
    return found;
  };
  for (take(gapPattern); at < header.length; take(gapPattern)) {
    const last = challenges.at(-1);
    const parameter = last && take(parameterPattern);
    if (parameter) {
      const name = parameter[1]?.toLowerCase() ?? '';
      const value = parameter[2]?.replace(/\\(.)/g, '$1') ?? parameter[3] ?? '';
      if (!last.parameters.has(name)) last.parameters.set(name, value);
      continue;
    }
    const scheme = take(schemePattern);
    if (!scheme) break;
    challenges.push({ scheme: scheme[1]?.toLowerCase() ?? '', parameters: new Map() });
    take(token68Pattern);
  }
  return challenges;
}
