import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { Cron } from 'croner';
import { Failure } from '#core/failure.ts';
import { type AddressRange, parseAddressRange } from '#http/site.ts';

// Parsers of single settings. Each throws `invalid` with what it takes; the value itself is quoted only where it is no secret.

export type ListenAddress = { host: string; port: number };
export type SealKey = { id: string; key: Buffer };
export type ConfiguredRegion = { id: string; name: string; host: string };

const refuse = (sentence: string) => new Failure('invalid', sentence);

export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (!match || port > 65_535 || (match[1] !== undefined && isIP(match[1]) !== 6)) {
    throw refuse(`${JSON.stringify(text)} is not an address to listen on. Use host:port, [IPv6]:port or :port.`);
  }
  return { host: host === '' ? '::' : host, port };
}

export function isWildcardAddress({ host }: ListenAddress): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** `host:port` as it stands in a URL; a wildcard address is reached as localhost. */
export function toUrlHost(address: ListenAddress): string {
  const host = isWildcardAddress(address) ? 'localhost' : address.host;
  return host.includes(':') ? `[${host}]:${address.port}` : `${host}:${address.port}`;
}

export function parsePath(text: string): string {
  return resolve(text);
}

export function parsePublicUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url && url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password;
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw refuse(
      `${JSON.stringify(text)} is not the URL of a server. Use http:// or https:// with a host, perhaps a port, and no path: clients cannot reach a registry below a path.`,
    );
  }
  return url.origin;
}

export function parseDatabaseUrl(text: string): string {
  if (URL.canParse(text) && /^postgres(?:ql)?:$/.test(new URL(text).protocol)) return text;
  throw refuse('It is not a PostgreSQL URL. Use postgres://user:password@host:port/database.');
}

export function parseBootstrapKey(text: string): string {
  if (text.length >= 32 && text.length <= 256 && /^[\x21-\x7e]+$/.test(text)) return text;
  throw refuse('It must be 32 to 256 printable characters without blanks.');
}

export function parseSecretText(text: string): string {
  if (text.length >= 16 && /^[\x21-\x7e]+$/.test(text)) return text;
  throw refuse('It must be at least 16 printable characters without blanks.');
}

/** One or more `id:base64` of 32 bytes each, divided by commas, blanks or lines. The first seals, all open. */
export function parseMasterKeys(text: string): readonly SealKey[] {
  const keys = text
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map((entry): SealKey => {
      const [, id = '', encoded = ''] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/_-]{43}=?)$/.exec(entry) ?? [];
      const key = Buffer.from(encoded, 'base64');
      if (key.length !== 32) {
        throw refuse('Each master key is id:base64, the id of letters, digits, - and _, the base64 of 32 bytes.');
      }
      return { id, key };
    });
  if (keys.length === 0) throw refuse('It holds no master key. Write id:base64.');
  if (new Set(keys.map((one) => one.id)).size < keys.length) throw refuse('Two master keys have the same id.');
  return keys;
}

export function parseRegions(text: string): readonly ConfiguredRegion[] {
  const regions = parseRegionList(text).map((entry): ConfiguredRegion => {
    const { id, name = id, host } = (entry ?? {}) as Record<string, unknown>;
    const isGood =
      typeof id === 'string' &&
      /^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(id) &&
      typeof name === 'string' &&
      typeof host === 'string' &&
      URL.canParse(`http://${host}`) &&
      new URL(`http://${host}`).pathname === '/' &&
      !/[/@?#\s]/.test(host);
    if (!isGood) {
      throw refuse(
        `${JSON.stringify(entry)} is not a region. Use {"id": "eu", "name": "Europe", "host": "eu.registry.example.com"}, the id of lower-case letters, digits and dashes.`,
      );
    }
    return { id, name, host: host.toLowerCase() };
  });
  for (const field of ['id', 'host'] as const) {
    if (new Set(regions.map((one) => one[field])).size < regions.length) throw refuse(`Two regions have one ${field}.`);
  }
  return regions;
}

function parseRegionList(text: string): unknown[] {
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.length > 0) return list;
  } catch {
    // Answered with the same sentence as JSON of another form.
  }
  throw refuse('It is not a JSON list of at least one {"id", "name", "host"}.');
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
};

export function parseSizeBytes(text: string): number {
  const [, digits = '', unit = ''] = /^([0-9]{1,15}(?:\.[0-9]{1,3})?) *([A-Za-z]*)$/.exec(text) ?? [];
  const bytes = Math.round(Number(digits) * (unitBytes[unit.toLowerCase()] ?? Number.NaN));
  if (digits !== '' && Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw refuse(`${JSON.stringify(text)} is not a size. Use bytes, or a number with KiB, MiB, GiB or TiB: 20GiB.`);
}

/** Throws `invalid`. */
export function parseSchedule(text: string): string {
  try {
    if (new Cron(text, { paused: true }).nextRun()) return text;
  } catch {
    // What the library says of a bad expression names its own parts.
  }
  throw refuse(`${JSON.stringify(text.slice(0, 80))} is not a cron expression. Write five fields, such as 0 3 * * *.`);
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30m`, `6h` or `2d`, as milliseconds; null for `off`. At least a minute, at most a year. */
export function parseInterval(text: string): number | null {
  if (text === 'off') return null;
  const [, count, unit = ''] = /^([0-9]{1,6})([mhd])$/.exec(text) ?? [];
  const ms = Number(count) * (unitMs[unit] ?? Number.NaN);
  if (ms >= 60_000 && ms <= 366 * 86_400_000) return ms;
  throw new Failure('invalid', `${JSON.stringify(text)} is no interval. Use 30m, 6h or 2d, or off.`);
}

/** `0s`, `20s` or `10m`, as milliseconds; at most an hour. */
export function parsePause(text: string): number {
  const [, count, unit = ''] = /^([0-9]{1,6})([smh])$/.exec(text) ?? [];
  const ms = Number(count) * (unitMs[unit] ?? Number.NaN);
  if (ms <= 3_600_000) return ms;
  throw refuse(`${JSON.stringify(text)} is no time from 0s to 1h. Use 20s or 10m.`);
}

export function parseCount(min: number, max: number): (text: string) => number {
  return (text) => {
    if (/^[0-9]{1,9}$/.test(text) && Number(text) >= min && Number(text) <= max) return Number(text);
    throw refuse(`${JSON.stringify(text)} is not a whole number from ${min} to ${max}.`);
  };
}

export function parseSwitch(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw refuse(`${JSON.stringify(text)} is neither true nor false.`);
}

export function parseChoice<Choice extends string>(...choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    const choice = choices.find((one) => one === text.toLowerCase());
    if (choice === undefined) throw refuse(`${JSON.stringify(text)} is none of ${choices.join(', ')}.`);
    return choice;
  };
}

export function parseAddressRanges(text: string): readonly AddressRange[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map((entry) => {
      try {
        return parseAddressRange(entry);
      } catch {
        throw refuse(
          `${JSON.stringify(entry)} is neither an address nor a range. Use 10.0.0.0/8, fd00::/8 or 10.1.2.3.`,
        );
      }
    });
}
