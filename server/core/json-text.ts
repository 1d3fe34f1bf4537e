import { Failure } from './failure.ts';

const depthMax = 64;

/**
 * Parses JSON that other programs will parse again and must understand alike: one object in UTF-8, without a byte order
 * mark, nothing twice in one object (parsers disagree which one counts), not nested beyond reason. Throws `invalid`.
 */
export function parseStrictObject(bytes: Uint8Array): Record<string, unknown> {
  const text = decode(bytes);
  requireShallow(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('is not JSON');
  }
  if (!isObject(value)) throw refuse('is not a JSON object');
  requireUniqueKeys(text);
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refuse('is not UTF-8');
  }
}

function refuse(what: string): Failure {
  return new Failure('invalid', `The manifest ${what}.`, { about: 'manifest' });
}

const quote = 34;
const backslash = 92;
const openings = new Set([91, 123]);
const closings = new Set([93, 125]);
const openBrace = 123;
const comma = 44;

/** Before `JSON.parse`, so that ten thousand brackets cost a scan and not a stack. */
function requireShallow(text: string): void {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === quote) i = endOfString(text, i);
    else if (openings.has(code) && ++depth > depthMax) throw refuse(`is nested deeper than ${depthMax} levels`);
    else if (closings.has(code)) depth--;
  }
}

/** `JSON.parse` hides duplicates, so the text, known to be valid, is read once more for its keys. */
function requireUniqueKeys(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  let expectsKey = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === quote) {
      const end = endOfString(text, i);
      if (expectsKey) addKey(open.at(-1), JSON.parse(text.slice(i, end + 1)));
      expectsKey = false;
      i = end;
    } else if (openings.has(code)) {
      open.push(code === openBrace ? new Set() : undefined);
      expectsKey = code === openBrace;
    } else if (closings.has(code)) {
      open.pop();
      expectsKey = false;
    } else if (code === comma) {
      expectsKey = open.at(-1) !== undefined;
    }
  }
}

function addKey(keys: Set<string> | undefined, key: string): void {
  if (keys?.has(key)) throw refuse(`has the key ${JSON.stringify(key.slice(0, 80))} twice in one object`);
  keys?.add(key);
}

/** Index of the closing quote; the text's end where there is none (`JSON.parse` will have refused that). */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === backslash) i++;
    else if (code === quote) return i;
  }
  return text.length;
}
