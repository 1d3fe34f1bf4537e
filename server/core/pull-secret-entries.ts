// Which credentials stand under which key of a Docker config. Docker itself knows one entry for a host; what reads
// containers-auth.json(5) and Kubernetes 1.20 or later take the longest path that an image's name begins with. So where
// several have one host, the first has it, and each that is meant for a path below it has that too.

import { providerRules } from './providers.ts';
import type { HostCredentials } from './upstream.ts';

/** Whose credentials they are: this platform's own registries, or a connection. */
export type PullSecretSource = { kind: 'hosted' } | { kind: 'connection'; id: string; slug: string };

/** Credentials for a host, or for what is below a path of it. */
export type PullSecretClaim = {
  source: PullSecretSource;
  host: string;
  /** As people entered it; may be empty. */
  namespace: string;
  credentials: HostCredentials;
  /** null: not known to end. */
  expiresAt: number | null;
};

export type DockerAuth = { auth: string; username: string; password: string };
export type PullSecretEntry = { key: string; source: PullSecretSource; expiresAt: number | null };
export type Arranged = {
  auths: Record<string, DockerAuth>;
  entries: PullSecretEntry[];
  /** Sentences for people: who did not get what they claim. */
  warnings: string[];
};

/** Earlier claims go first. Pure. */
export function arrangeClaims(claims: readonly PullSecretClaim[]): Arranged {
  const arranged: Arranged = { auths: {}, entries: [], warnings: [] };
  for (const [host, sharing] of Map.groupBy(claims, (claim) => toHost(claim.host)))
    arrangeHost(arranged, host, sharing);
  return arranged;
}

function arrangeHost(arranged: Arranged, host: string, sharing: readonly PullSecretClaim[]): void {
  const [holder, ...others] = sharing;
  if (!holder) return;
  add(arranged, toDockerKey(host), holder);
  if (others.length === 0) return;
  // A kubelet takes `docker.io/acme` for `docker.io/acme-labs`, too, and where that is refused goes on to `docker.io`; to
  // the key that Docker has for it, only where no other fits.
  if (toDockerKey(host) !== host) add(arranged, host, holder);
  addPath(arranged, host, holder);
  for (const claim of others) {
    const path = addPath(arranged, host, claim);
    arranged.warnings.push(warningOf(host, holder, claim, path));
  }
}

/** The path under which the claim stands now; undefined where it has none, or an earlier one has it. */
function addPath(arranged: Arranged, host: string, claim: PullSecretClaim): string | undefined {
  const path = toPath(claim.namespace);
  const key = `${host}/${path}`;
  if (path === '' || Object.hasOwn(arranged.auths, key)) return undefined;
  add(arranged, key, claim);
  return key;
}

function add({ auths, entries }: Arranged, key: string, { source, credentials, expiresAt }: PullSecretClaim): void {
  const { username, password } = credentials;
  const auth = Buffer.from(`${username}:${password}`, 'utf8').toString('base64');
  auths[key] = { auth, username, password };
  entries.push({ key, source, expiresAt });
}

/** The namespace as image names have it: lower case. What no name can begin with is no path. */
function toPath(namespace: string): string {
  const path = namespace.toLowerCase().replace(/^\/+|\/+$/g, '');
  return /^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$/.test(path) ? path : '';
}

const { host: hubHosts, dockerConfigKey: hubKey } = providerRules.dockerhub;
const hub = 'docker.io';

/** All names of Docker Hub are one: it is the host, not what people call it, that a client looks up. */
const toHost = (host: string) => (hubHosts?.pattern.test(host) ? hub : host);
const toDockerKey = (host: string) => (host === hub && hubKey !== null ? hubKey : host);

function warningOf(host: string, holder: PullSecretClaim, claim: PullSecretClaim, path: string | undefined): string {
  const name = nameOf(claim.source);
  if (isSame(holder.source, claim.source)) return `Connection ${name} has two entries for ${host}: the first is used.`;
  const why =
    holder.source.kind === 'hosted'
      ? `${host} is a host of this platform, whose own registries have the entry for it.`
      : `Connections ${nameOf(holder.source)} and ${name} are both for ${host}, and the older one, ${nameOf(holder.source)}, has the entry for it.`;
  const rest =
    path === undefined
      ? `Connection ${name} is left out: give it a namespace that no other connection of the host has.`
      : `Connection ${name} has ${path}, which podman, skopeo, buildah, CRI-O and Kubernetes use for what is below it, and Docker does not.`;
  return `${why} ${rest}`;
}

const nameOf = (source: PullSecretSource) => (source.kind === 'hosted' ? 'of this platform' : source.slug);

const isSame = (one: PullSecretSource, other: PullSecretSource) =>
  one.kind === 'connection' && other.kind === 'connection' && one.id === other.id;
