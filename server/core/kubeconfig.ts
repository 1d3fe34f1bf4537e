// A kubeconfig can run commands, read files and switch off TLS's checks on whatever machine uses it. So it is not used
// here: five values of its current context are taken out, and a context that says anything else is refused by name.

import {
  type ClusterAccess,
  type ClusterCredentials,
  parseCertificates,
  parseClientCertificate,
  parseClusterToken,
  parseServer,
  refuseField,
} from './cluster-credentials.ts';

type Fields = Readonly<Record<string, unknown>>;

// Said by tools about themselves, and without effect on what is asked.
const harmless = ['extensions', 'disable-compression'];
const clusterFields = ['server', 'certificate-authority-data', ...harmless];
const userFields = ['token', 'client-certificate-data', 'client-key-data', ...harmless];

/** From the parsed document. Throws `invalid` that names the field at fault. */
export function readKubeconfig(document: unknown): ClusterAccess {
  const config = isFields(document) ? document : refuse('', 'is not a kubeconfig');
  const contextName = config['current-context'];
  if (typeof contextName !== 'string' || contextName === '') return refuse('current-context', 'is missing');
  const context = entryOf(config, 'contexts', contextName, 'context');
  const cluster = entryOf(config, 'clusters', textOf(context, 'cluster', 'contexts.context'), 'cluster');
  const user = entryOf(config, 'users', textOf(context, 'user', 'contexts.context'), 'user');
  refuseOthers(cluster, 'clusters.cluster', clusterFields);
  refuseOthers(user, 'users.user', userFields);
  const caData = cluster['certificate-authority-data'];
  const caPointer = '/kubeconfig/clusters.cluster.certificate-authority-data';
  return {
    server: parseServer(textOf(cluster, 'server', 'clusters.cluster'), '/kubeconfig/clusters.cluster.server'),
    caPem: caData === undefined ? null : parseCertificates(fromBase64(caData, caPointer), caPointer),
    credentials: readUser(user),
  };
}

function readUser(user: Fields): ClusterCredentials {
  const at = (field: string) => `/kubeconfig/users.user.${field}`;
  if (user.token !== undefined) return { token: parseClusterToken(textOf(user, 'token', 'users.user'), at('token')) };
  if (user['client-certificate-data'] === undefined) {
    return refuse('users.user', 'has neither a token nor client-certificate-data with client-key-data');
  }
  const pointers = { certificate: at('client-certificate-data'), key: at('client-key-data') };
  const certificate = fromBase64(user['client-certificate-data'], pointers.certificate);
  return parseClientCertificate(certificate, fromBase64(user['client-key-data'], pointers.key), pointers);
}

/** `exec`, `auth-provider`, `tokenFile`, `certificate-authority`, `proxy-url`, … and whatever comes after them. */
function refuseOthers(fields: Fields, where: string, known: readonly string[]): void {
  for (const [name, value] of Object.entries(fields)) {
    // Its default, written out.
    if (name === 'insecure-skip-tls-verify' && value === false) continue;
    if (!known.includes(name)) refuse(`${where}.${name.slice(0, 60)}`, 'is not taken here');
  }
}

/** `{name, <kind>}` in one of the lists; the first of that name, as kubectl has it. */
function entryOf(config: Fields, list: string, name: string, kind: string): Fields {
  const entries = Array.isArray(config[list]) ? config[list] : [];
  const entry = entries.find((one) => isFields(one) && one.name === name);
  const fields = isFields(entry) ? entry[kind] : undefined;
  return isFields(fields) ? fields : refuse(list, 'has no entry of the name that the current context gives');
}

function textOf(fields: Fields, name: string, where: string): string {
  const value = fields[name];
  return typeof value === 'string' && value !== '' ? value : refuse(`${where}.${name}`, 'is missing');
}

function fromBase64(value: unknown, pointer: string): string {
  const isText = typeof value === 'string' && /^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(value);
  return isText ? Buffer.from(value, 'base64').toString('utf8') : refuseField(pointer, 'must be base64');
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const refuse = (field: string, said: string): never =>
  refuseField(field === '' ? '/kubeconfig' : `/kubeconfig/${field}`, said);
