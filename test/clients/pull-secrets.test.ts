// What a project is handed out, as the files that clients read: from registries that other people wrote, and from here.
// containerd has no file of its own for credentials; nerdctl is its client that reads Docker's.

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Containerd, startContainerd } from '../servers/containerd.ts';
import { type DockerRegistries, startDockerRegistries } from '../servers/docker-registry.ts';
import { type Dockerd, startDockerd } from '../servers/dockerd.ts';
import { writeContainersHome } from './containers-home.ts';
import { type Image, makeImage, writeLayout } from './image.ts';
import { ask, useLading } from './suite.ts';

const ends: (() => unknown)[] = [];
let registries: DockerRegistries;
let containerd: Containerd;
let dockerd: Dockerd;
/** Where the images are, and what they are. */
const images: Record<'password' | 'bobs' | 'carols' | 'hosted', { ref: string; image: Image }> = {} as never;
/** A directory with the pull secret as `config.json`, and one without credentials. */
let handedOut: string;
let empty: string;

const suite = useLading(
  async ({ lading }) => {
    registries = await startDockerRegistries({ after: (work) => void ends.push(work) });
    [containerd, dockerd] = await Promise.all([startContainerd(), startDockerd()]);
    const { open, withPassword, withToken, tokenService } = registries;
    tokenService.users.set('bob', 'his own').set('carol', 'her own');
    tokenService.repositories.set('bob/app', ['bob']).set('carol/app', ['carol']);
    const owner = ['--dest-creds', `owner:${lading.key}`];
    images.password = await push(withPassword.host, 'team/app:v1', open.host);
    images.bobs = await push(withToken.host, 'bob/app:v1', open.host);
    images.carols = await push(withToken.host, 'carol/app:v1', open.host);
    images.hosted = await push(lading.host, 'default/team/app:v1', lading.host, owner);
    await connect('password', { url: `http://${withPassword.host}`, username: 'alice', password: 'correct horse' });
    const url = `http://${withToken.host}`;
    await connect('bob', { url, namespace: 'bob', username: 'bob', password: 'his own' });
    await connect('carol', { url, namespace: 'carol', username: 'carol', password: 'her own' });
    handedOut = await writeConfig('handed-out', await fetchConfig('default'));
    empty = await writeConfig('empty', '{"auths":{}}');
  },
  { env: { LADING_UPSTREAM_ALLOW: '127.0.0.0/8' } },
);
after(async () => {
  await containerd?.stop();
  await dockerd?.stop();
  for (const end of ends.toReversed()) await end();
});

/** A new image under the name; the registry of the content may have another door than that which is pulled from. */
async function push(host: string, name: string, to: string, options: string[] = []) {
  const image = makeImage();
  const layout = join(suite.bench.dir, image.manifest.digest.slice(7, 19));
  await writeLayout(layout, 'v1', [image]);
  await skopeo('copy', '--dest-tls-verify=false', ...options, `oci:${layout}:v1`, `docker://${to}/${name}`);
  return { ref: `${host}/${name}`, image };
}

const skopeo = (...args: string[]) => suite.bench.run('skopeo', args);

async function post(path: string, body: object): Promise<{ secret: string; slug: string }> {
  const answer = await ask(suite.lading, 'POST', `/lading/v1${path}`, body);
  const text = await answer.text();
  assert.equal(answer.status, 201, text);
  return JSON.parse(text);
}

const connect = (name: string, input: object) => post('/connections', { name, provider: 'oci', ...input });

/** By a key that is bound to the project and may do nothing else. */
async function fetchConfig(project: string): Promise<string> {
  const permissions = ['pull-secrets:read'];
  const { secret } = await post('/api-keys', { name: `of ${project}`, permissions, projectIds: [project] });
  const { url } = suite.lading;
  const answer = await fetch(`${url}/lading/v1/projects/${project}/pull-secret?format=docker-config`, {
    headers: { authorization: `Bearer ${secret}` },
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return text;
}

async function writeConfig(name: string, text: string): Promise<string> {
  const directory = join(suite.bench.dir, name);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'config.json'), text, { mode: 0o600 });
  return directory;
}

const refusal = /unauthorized|authentication required|denied|no basic auth credentials|credential not found|40[13]/i;

test('podman pulls with it from two registries elsewhere and from here, and without it from none', async () => {
  const { bench } = suite;
  const storage = ['--root', join(bench.dir, 'podman'), '--runroot', join(bench.dir, 'podman-run')];
  const settings = [...storage, '--storage-driver', 'vfs', '--cgroup-manager=cgroupfs', '--events-backend=none'];
  const pull = (directory: string, ref: string) => {
    const auth = ['--tls-verify=false', '--authfile', join(directory, 'config.json')];
    return [...settings, 'pull', '-q', ...auth, ref];
  };
  for (const [name, { ref, image }] of Object.entries(images)) {
    assert.match(await bench.refused('podman', pull(empty, ref)), refusal, name);
    const id = await bench.run('podman', pull(handedOut, ref));
    assert.equal(`sha256:${id}`, image.config.digest, name);
  }
});

test('containerd, with nerdctl, does the same', async () => {
  const { bench } = suite;
  const places = ['--data-root', join(bench.dir, 'nerdctl'), '--cni-netconfpath', join(bench.dir, 'cni')];
  const settings = ['--address', containerd.address, ...places, '--snapshotter', 'native'];
  const { password, bobs, hosted } = images;
  for (const { ref, image } of [password, bobs, hosted]) {
    const args = [...settings, 'pull', '-q', ref];
    assert.match(await bench.refused('nerdctl', args, { env: { DOCKER_CONFIG: empty } }), refusal, ref);
    await bench.run('nerdctl', args, { env: { DOCKER_CONFIG: handedOut } });
    const inspect = ['image', 'inspect', '--mode=native', '--format', '{{.Image.Target.Digest}}', ref];
    const digest = await bench.run('nerdctl', [...settings, ...inspect]);
    assert.equal(digest, image.manifest.digest);
  }
});

test('docker does the same', async () => {
  const { bench } = suite;
  const { password, bobs, hosted } = images;
  for (const { ref, image } of [password, bobs, hosted]) {
    const args = (directory: string) => ['--host', dockerd.host, '--config', directory, 'pull', '-q', ref];
    assert.match(await bench.refused('docker', args(empty)), refusal, ref);
    await bench.run('docker', args(handedOut));
    const id = await bench.run('docker', ['--host', dockerd.host, 'image', 'inspect', '--format', '{{.Id}}', ref]);
    assert.equal(id, image.config.digest);
  }
});

test('skopeo takes the entry of the path where two connections share a host', async () => {
  const inspect = (directory: string, ref: string) => {
    const options = ['--raw', '--tls-verify=false', '--authfile', join(directory, 'config.json')];
    return ['inspect', ...options, `docker://${ref}`];
  };
  for (const { ref, image } of [images.bobs, images.carols]) {
    assert.equal(await skopeo(...inspect(handedOut, ref)), image.manifest.bytes.toString());
  }
  // With the entry of the host alone, which is all that docker looks at, Carol's is Bob's to be refused.
  const { host } = registries.withToken;
  const { auths } = JSON.parse(await fetchConfig('default'));
  assert.deepEqual(
    Object.keys(auths).filter((key) => key.startsWith(host)),
    [host, `${host}/bob`, `${host}/carol`],
  );
  const only = await writeConfig('host-only', JSON.stringify({ auths: { [host]: auths[host] } }));
  await skopeo(...inspect(only, images.bobs.ref));
  assert.match(await suite.bench.refused('skopeo', inspect(only, images.carols.ref)), refusal);
});

test('crane, oras and buildah take it, too', async () => {
  const { bench } = suite;
  const storage = ['--root', join(bench.dir, 'buildah'), '--runroot', join(bench.dir, 'buildah-run')];
  const settings = [...storage, '--storage-driver', 'vfs'];
  const clients: [string, (ref: string) => string[]][] = [
    ['crane', (ref) => ['digest', ref]],
    ['oras', (ref) => ['manifest', 'fetch', '--plain-http', ref]],
    ['buildah', (ref) => [...settings, 'pull', '-q', '--tls-verify=false', ref]],
  ];
  const env = (directory: string) => ({
    DOCKER_CONFIG: directory,
    REGISTRY_AUTH_FILE: join(directory, 'config.json'),
  });
  for (const [client, args] of clients) {
    for (const { ref } of [images.password, images.hosted]) {
      assert.match(await bench.refused(client, args(ref), { env: env(empty) }), refusal, `${client} ${ref}`);
      await bench.run(client, args(ref), { env: env(handedOut) });
    }
  }
});

test('helm pulls a chart with it', async () => {
  const { bench, lading, ref } = suite;
  await bench.run('helm', ['create', 'harbour']);
  await bench.run('helm', ['package', 'harbour', '--version', '1.2.3']);
  const owner = ['--username', 'owner', '--password', lading.key];
  const charts = `oci://${ref('charts')}`;
  await bench.run('helm', ['push', 'harbour-1.2.3.tgz', charts, '--plain-http', ...owner]);
  const show = ['show', 'chart', `${charts}/harbour`, '--version', '1.2.3', '--plain-http'];
  const env = (directory: string) => ({ HELM_REGISTRY_CONFIG: join(directory, 'config.json') });
  assert.match(await bench.refused('helm', show, { env: env(empty) }), refusal);
  assert.match(await bench.run('helm', show, { env: env(handedOut) }), /version: 1\.2\.3/);
});

// Docker Hub is out of reach, but which credentials a client would show it can be asked of the client.
test('for Docker Hub each client finds the credentials that it would pull with', async () => {
  await post('/projects', { name: 'Hub' });
  const ofHub = { provider: 'dockerhub', password: 'a password', projectIds: ['hub'] };
  await connect('first', { ...ofHub, username: 'first' });
  await connect('second', { ...ofHub, username: 'second', namespace: 'Acme' });
  const directory = await writeConfig('hub', await fetchConfig('hub'));
  const names = {
    'docker.io': 'first',
    'docker.io/library/alpine': 'first',
    'docker.io/acme-labs/app': 'first',
    'docker.io/acme/app': 'second',
  };
  for (const [name, user] of Object.entries(names)) {
    for (const client of ['podman', 'skopeo', 'buildah']) {
      const args = ['login', '--get-login', '--authfile', join(directory, 'config.json'), name];
      assert.equal(await suite.bench.run(client, args), user, `${client} ${name}`);
    }
  }
  const found = await suite.bench.run('crane', ['auth', 'get', 'docker.io'], { env: { DOCKER_CONFIG: directory } });
  assert.equal(JSON.parse(found).Username, 'first');
});

test('a pull secret opens no registry of another project, and nothing once its project is gone', async () => {
  const { bench, lading } = suite;
  const { slug } = await post('/projects', { name: 'Ending' });
  await post('/registries', { name: 'shared' });
  const owner = ['--dest-creds', `owner:${lading.key}`];
  const shared = await push(lading.host, 'shared/app:v1', lading.host, owner);
  const directory = await writeConfig('ending', await fetchConfig(slug));
  const inspect = (ref: string) => [
    'inspect',
    '--raw',
    '--tls-verify=false',
    '--authfile',
    join(directory, 'config.json'),
    `docker://${ref}`,
  ];
  await skopeo(...inspect(shared.ref));
  assert.match(await bench.refused('skopeo', inspect(images.hosted.ref)), refusal);
  const deleted = await ask(lading, 'DELETE', `/lading/v1/projects/${slug}`);
  assert.equal(deleted.status, 204, await deleted.text());
  assert.match(await bench.refused('skopeo', inspect(shared.ref)), refusal);
});

test('the examples of docs/pull-secrets.md work when pasted one after the other', async () => {
  const { bench, lading } = suite;
  const page = await readFile(join(import.meta.dirname, '../../docs/pull-secrets.md'), 'utf8');
  const blocks = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map((one) => one[1] ?? '');
  const script = blocks
    .join('')
    .replace('http://127.0.0.1:8080', lading.url)
    .replace('$(cat data/bootstrap-key)', lading.key);
  assert.equal(script.match(/^[^#].*"\$IMAGE"$|docker:\/\/\$IMAGE/gm)?.length, 4, script);
  const directory = join(bench.dir, 'pasted');
  await mkdir(directory);
  const files = await writeSettings(directory);
  const env = { ...files, IMAGE: images.hosted.ref, DOCKER_HOST: dockerd.host };
  const text = await bench.run('bash', ['-euo', 'pipefail', '-c', script], { cwd: directory, env });
  assert.match(text, /"expiresAt":/);
  assert.match(text, /"secret":"ldg_key_/);
  const manifest = JSON.parse(await readFile(join(directory, 'pull-secret.json'), 'utf8'));
  assert.deepEqual([manifest.kind, manifest.metadata.namespace], ['Secret', 'apps']);
});

/** What the page does not say: where this machine may keep what is pulled. */
async function writeSettings(directory: string): Promise<Record<string, string>> {
  const path = (name: string) => JSON.stringify(join(directory, name));
  const lines = [
    `address = ${JSON.stringify(containerd.address)}`,
    `data_root = ${path('nerdctl')}`,
    `cni_netconfpath = ${path('cni')}`,
    'snapshotter = "native"',
  ];
  const nerdctl = join(directory, 'nerdctl.toml');
  await writeFile(nerdctl, `${lines.join('\n')}\n`);
  return { ...(await writeContainersHome(directory)), NERDCTL_TOML: nerdctl };
}
