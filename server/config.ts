import { Failure } from '#core/failure.ts';
import type { Site } from '#http/site.ts';
import { parseStorageUrl } from './config-storage.ts';
import { parseUpstreamAllow } from './config-upstream.ts';
import {
  type ConfiguredRegion,
  isWildcardAddress,
  parseAddressRanges,
  parseBootstrapKey,
  parseChoice,
  parseCount,
  parseDatabaseUrl,
  parseInterval,
  parseListenAddress,
  parseMasterKeys,
  parsePath,
  parsePause,
  parsePublicUrl,
  parseRegions,
  parseSchedule,
  parseSecretText,
  parseSizeBytes,
  parseSwitch,
  toUrlHost,
} from './config-values.ts';
import { findNearest } from './nearest.ts';

export type Setting<T> = {
  name: string;
  /** As it would be written; empty: unset unless given. */
  fallback: string;
  parse: (text: string) => T;
  /** For `docs/configuration.md`. */
  doc: string;
  isSecret: boolean;
};

const optional = <T>(name: string, parse: (text: string) => T, doc: string): Setting<T | undefined> => ({
  name,
  fallback: '',
  parse: (text) => (text === '' ? undefined : parse(text)),
  doc,
  isSecret: false,
});
const defaulted = <T>(name: string, fallback: string, parse: (text: string) => T, doc: string): Setting<T> => ({
  name,
  fallback,
  parse,
  doc,
  isSecret: false,
});
const secret = <T>(setting: Setting<T>): Setting<T> => ({ ...setting, isSecret: true });

/** Everything that can be configured. `docs/configuration.md` is generated from this. */
export const settings = {
  listen: defaulted(
    'LADING_LISTEN',
    '127.0.0.1:8080',
    parseListenAddress,
    'Where to listen: `host:port`, `[IPv6]:port`, or `:port` for every address. Port 0 takes a free one.',
  ),
  dataDir: defaulted(
    'LADING_DATA_DIR',
    './data',
    parsePath,
    'Where blobs, the SQLite database and the made keys are kept. One `serve` at a time may use it.',
  ),
  publicUrl: optional(
    'LADING_PUBLIC_URL',
    parsePublicUrl,
    'How clients reach this server, when that is not the listening address: `https://registry.example.com`.',
  ),
  databaseUrl: secret(
    optional(
      'LADING_DATABASE_URL',
      parseDatabaseUrl,
      'PostgreSQL 15 or later, `postgres://user:password@host:port/database`, instead of SQLite in the data directory.',
    ),
  ),
  databasePoolSize: defaulted(
    'LADING_DATABASE_POOL_SIZE',
    '20',
    parseCount(4, 1000),
    'How many connections to PostgreSQL each replica opens at most, besides two for collections. A quarter only reads.',
  ),
  storage: optional(
    'LADING_STORAGE_URL',
    parseStorageUrl,
    'A bucket for the bytes of blobs instead of the data directory: `s3://bucket/prefix?endpoint=…&region=…&path-style=true`, all but the bucket as needed. Credentials come as in every AWS client, never in the URL.',
  ),
  redirectsToStorage: defaulted(
    'LADING_STORAGE_REDIRECT',
    'false',
    parseSwitch,
    '`true`: who pulls a blob is sent to the bucket with a signed URL, which clients must then be able to reach.',
  ),
  bootstrapKey: secret(
    optional(
      'LADING_BOOTSTRAP_KEY',
      parseBootstrapKey,
      "The first owner's API key, at least 32 characters, instead of a made one. Read only where no API key could make keys.",
    ),
  ),
  masterKeys: secret(
    optional(
      'LADING_MASTER_KEY',
      parseMasterKeys,
      'Keys that seal stored secrets: `id:base64` of 32 bytes, several divided by commas. The first seals, all open. Without it one is made in `<data>/master-key`.',
    ),
  ),
  masterKeyFile: optional(
    'LADING_MASTER_KEY_FILE',
    parsePath,
    'A file that holds what `LADING_MASTER_KEY` would; set one of the two.',
  ),
  tlsCert: optional(
    'LADING_TLS_CERT',
    parsePath,
    'A PEM file with the certificate and its chain; with `LADING_TLS_KEY`, HTTPS is spoken.',
  ),
  tlsKey: optional('LADING_TLS_KEY', parsePath, 'A PEM file with the private key of `LADING_TLS_CERT`.'),
  logLevel: defaulted(
    'LADING_LOG_LEVEL',
    'info',
    parseChoice('debug', 'info', 'warn', 'error'),
    'The least urgent lines to log: `debug`, `info`, `warn` or `error`.',
  ),
  regions: optional(
    'LADING_REGIONS',
    parseRegions,
    'A JSON list of `{"id", "name", "host"}`; the first is the default. Without it there is one region, `local`, on the host of the public URL.',
  ),
  registryLimitBytes: defaulted(
    'LADING_REGISTRY_LIMIT',
    '20GiB',
    parseSizeBytes,
    'How much a new registry may hold unless said otherwise: bytes, or `20GiB`.',
  ),
  registriesPerTeam: defaulted(
    'LADING_REGISTRIES_PER_TEAM',
    '100',
    parseCount(1, 1_000_000),
    'How many registries a team may have.',
  ),
  requestsPerHour: optional(
    'LADING_API_RATE_LIMIT',
    parseCount(1, 999_999_999),
    'How many requests each API key may make in an hour, on all management APIs together. Without it, as many as it likes.',
  ),
  trustedProxies: defaulted(
    'LADING_TRUSTED_PROXIES',
    '',
    parseAddressRanges,
    'Addresses and CIDR ranges, divided by commas, of the proxies whose `X-Forwarded-*` headers count. Everyone else’s are ignored.',
  ),
  upstreamAllow: defaulted(
    'LADING_UPSTREAM_ALLOW',
    '',
    parseUpstreamAllow,
    'Servers that may be asked although their addresses are not public: CIDR ranges, hosts or `host:port`, divided by commas. Only to these is `http://` spoken, and to a host by its name only where that name is listed, whatever range its addresses are in.',
  ),
  connectionCheckIntervalMs: defaulted(
    'LADING_CONNECTION_CHECK_INTERVAL',
    '6h',
    parseInterval,
    'How long after a test each connection to another registry is tried again: `30m`, `6h`, `2d`; `off`: only when somebody asks.',
  ),
  metricsToken: secret(
    optional(
      'LADING_METRICS_TOKEN',
      parseSecretText,
      'What `/metrics` wants as Bearer token, at least 16 characters. Without it only clients on the same machine may read them.',
    ),
  ),
  gcSchedule: optional(
    'LADING_GC_SCHEDULE',
    parseSchedule,
    'When garbage is collected in all registries, as a cron expression in the time zone of the process: `0 3 * * *` is every night at three. Without it, only after a cleanup and when somebody asks.',
  ),
  shutdownDelayMs: defaulted(
    'LADING_SHUTDOWN_DELAY',
    '0s',
    parsePause,
    'How long after SIGTERM everything is still served, while `/readyz` says 503 and each answer ends its connection: as long as a load balancer needs to send requests elsewhere. `15s` behind most of them.',
  ),
  shutdownTimeoutMs: defaulted(
    'LADING_SHUTDOWN_TIMEOUT',
    '30s',
    parsePause,
    'How long requests in flight may go on after that, before they are cut off: `10m` where large layers are pushed over slow lines.',
  ),
  auditRetentionDays: defaulted(
    'LADING_AUDIT_RETENTION_DAYS',
    '365',
    parseCount(1, 36_500),
    'After how many days audit events are removed.',
  ),
} as const;

export type Config = { readonly [Key in keyof typeof settings]: ReturnType<(typeof settings)[Key]['parse']> };
export type Environment = Readonly<Record<string, string | undefined>>;

/** The configuration, or everything that is wrong with it at once, a sentence each. */
export function readConfig(environment: Environment): { config: Config } | { faults: readonly string[] } {
  const faults = findUnknownNames(environment);
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    try {
      values[key] = setting.parse(textOf(environment, setting));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      faults.push(`${setting.name}: ${error.message}`);
    }
  }
  const config = values as Config;
  faults.push(...findContradictions(config));
  return faults.length > 0 ? { faults } : { config };
}

/** As given, or the default. An empty value is none: compose files write them for what is unset. */
export function textOf(environment: Environment, setting: Setting<unknown>): string {
  return environment[setting.name]?.trim() || setting.fallback;
}

function findContradictions(config: Config): string[] {
  const { masterKeys, masterKeyFile, tlsCert, tlsKey, storage, redirectsToStorage } = config;
  const faults: string[] = [];
  if (masterKeys && masterKeyFile) faults.push('LADING_MASTER_KEY and LADING_MASTER_KEY_FILE are both set. Keep one.');
  if (tlsCert && !tlsKey) faults.push('LADING_TLS_CERT needs LADING_TLS_KEY, the private key of the certificate.');
  if (tlsKey && !tlsCert) faults.push('LADING_TLS_KEY needs LADING_TLS_CERT, the certificate of the key.');
  if (redirectsToStorage && !storage) {
    faults.push('LADING_STORAGE_REDIRECT needs LADING_STORAGE_URL: only a bucket has URLs to send clients to.');
  }
  return faults;
}

function findUnknownNames(environment: Environment): string[] {
  const known = Object.values(settings).map((setting) => setting.name as string);
  return Object.keys(environment)
    .filter((name) => name.startsWith('LADING_') && !known.includes(name))
    .map((name) => `${name} is not a setting. Did you mean ${findNearest(name, known)}?`);
}

/** The regions as configured; without any, one on the public URL's host. */
export function regionsOf({ regions, publicUrl, listen }: Config): readonly ConfiguredRegion[] {
  if (regions) return regions;
  return [{ id: 'local', name: 'Local', host: publicUrl ? new URL(publicUrl).host : toUrlHost(listen) }];
}

export function siteOf({ publicUrl, listen, trustedProxies }: Config): Site {
  return { publicUrl, isWildcard: isWildcardAddress(listen), trustedProxies };
}
