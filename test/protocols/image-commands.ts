import fc from 'fast-check';
import { type Digest, digestOf } from '#core/digest.ts';
import { getManifest } from '#core/manifests.ts';
import type { RepositoryName, TagName } from '#core/names.ts';
import { getRegion } from '#core/regions.ts';
import { content, form, kind, repository, who } from './command.ts';
import { attempt, head, mount, pull, push, signIn, tokenOf, type UploadForm, upload } from './requests.ts';
import { type Client, type Content, contentOf, repositories, type Who } from './world.ts';

const oci = 'application/vnd.oci.image';
const tags = fc.uniqueArray(fc.constantFrom('v1', 'v2', 'latest'), { maxLength: 2 });

type Image = {
  who: Who;
  repository: string;
  layers: number[];
  tags: string[];
  form: UploadForm;
  /** What a client does first: nothing, a HEAD, a HEAD and a mount. */
  first: 'upload' | 'head' | 'mount';
  /** A manifest of the repository that it belongs to, by number; as its subject or by cosign's tag. */
  subject: number | null;
  bySignatureTag: boolean;
};

const descriptorOf = ({ bytes, digest }: Content, mediaType = `${oci}.layer.v1.tar`) => ({
  mediaType,
  digest,
  size: bytes.length,
});

async function pushImage(client: Client, input: Image): Promise<void> {
  const { world } = client;
  const [config, ...layers] = [...new Set(input.layers.map((i) => contentOf(world, i)))];
  if (!config) return;
  for (const blob of [config, ...layers]) if (!(await bring(client, input, blob))) return;
  const known = [...(world.manifests.get(input.repository) ?? [])];
  const subject = input.subject === null ? undefined : known[input.subject % Math.max(known.length, 1)];
  const document = {
    schemaVersion: 2,
    mediaType: `${oci}.manifest.v1+json`,
    config: descriptorOf(config, `${oci}.config.v1+json`),
    layers: layers.map((layer) => descriptorOf(layer)),
    ...(subject &&
      !input.bySignatureTag && { subject: { mediaType: `${oci}.manifest.v1+json`, digest: subject, size: 1 } }),
  };
  const signature = subject && input.bySignatureTag ? [`${subject.replace(':', '-')}.sig`] : [];
  const blobs = [config, ...layers].map(({ digest }) => digest);
  await pushDocument(client, input, blobs, document, [...input.tags, ...signature]);
}

/** True if the blob is in the repository, as far as the client was told. */
async function bring(client: Client, { who, repository, form, first }: Image, blob: Content): Promise<boolean> {
  if (first !== 'upload' && 'value' in (await attempt(() => head(client, who, repository, blob.digest)))) return true;
  if (first === 'mount') {
    const from = repositories.find((name) => name !== repository);
    const mounted = await attempt(() => mount(client, who, repository, blob.digest, from));
    if ('value' in mounted && mounted.value) return true;
  }
  return 'value' in (await attempt(() => upload(client, who, repository, blob, form)));
}

async function pushDocument(
  client: Client,
  { who, repository }: Pick<Image, 'who' | 'repository'>,
  children: readonly Digest[],
  document: { mediaType: string },
  tags: string[],
): Promise<void> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = tags.length === 0 ? digestOf(bytes) : undefined;
  const manifest = { digest, tags: tags as TagName[], bytes, contentType: document.mediaType };
  await attempt(() => push(client, who, repository, children, manifest));
}

type Index = { who: Who; repository: string; children: number[]; tags: string[] };

async function pushIndex(client: Client, { who, repository, children, tags }: Index): Promise<void> {
  const known = [...(client.world.manifests.get(repository) ?? [])];
  const digests = [
    ...new Set(children.map((i) => known[i % Math.max(known.length, 1)]).filter((d) => d !== undefined)),
  ];
  const manifests = digests.map((digest) => ({ mediaType: `${oci}.manifest.v1+json`, digest, size: 1 }));
  const document = { schemaVersion: 2, mediaType: `${oci}.index.v1+json`, manifests };
  await pushDocument(client, { who, repository }, digests, document, tags);
}

async function pullImage(client: Client, input: { who: Who; repository: string; tag: string }): Promise<void> {
  await attempt(async () => {
    const { platform } = client;
    const actor = await signIn(client, tokenOf(client, input.who), input.who);
    const query = { region: getRegion(platform), name: input.repository as RepositoryName, reference: input.tag };
    const { digest, bytes = Buffer.alloc(0) } = await getManifest(platform, actor, { ...query, withBytes: true });
    if (digestOf(bytes) !== digest) throw new Error(`The manifest ${digest} came with other bytes.`);
    const { config, layers = [] } = JSON.parse(Buffer.from(bytes).toString());
    for (const blob of config ? [config, ...layers] : []) await pull(client, input.who, input.repository, blob.digest);
  });
}

type Blob = { who: Who; repository: string; content: number };
const digestIn = ({ world }: Client, { content }: Blob) => contentOf(world, content).digest;

export const imageKinds = {
  pushImage: kind<Image>({
    weight: 8,
    input: fc.record({
      who,
      repository,
      layers: fc.uniqueArray(content, { minLength: 1, maxLength: 4 }),
      tags,
      form,
      first: fc.constantFrom('upload', 'head', 'mount'),
      subject: fc.option(fc.nat(5)),
      bySignatureTag: fc.boolean(),
    }),
    run: pushImage,
  }),
  pushIndex: kind<Index>({
    weight: 2,
    input: fc.record({ who, repository, children: fc.array(fc.nat(5), { maxLength: 3 }), tags }),
    run: pushIndex,
  }),
  pullImage: kind({
    weight: 1,
    input: fc.record({ who, repository, tag: fc.constantFrom('v1', 'v2', 'latest') }),
    run: pullImage,
  }),
  upload: kind({
    weight: 3,
    input: fc.record({ who, repository, content, form }),
    run: async (client: Client, input: Blob & { form: UploadForm }) => {
      const blob = contentOf(client.world, input.content);
      await attempt(() => upload(client, input.who, input.repository, blob, input.form));
    },
  }),
  mount: kind({
    weight: 2,
    input: fc.record({ who, repository, content, from: fc.option(repository, { nil: undefined }) }),
    run: async (client: Client, input: Blob & { from: string | undefined }) => {
      await attempt(() => mount(client, input.who, input.repository, digestIn(client, input), input.from));
    },
  }),
  head: kind({
    weight: 2,
    input: fc.record({ who, repository, content }),
    run: async (client: Client, input: Blob) => {
      await attempt(() => head(client, input.who, input.repository, digestIn(client, input)));
    },
  }),
  pull: kind({
    weight: 1,
    input: fc.record({ who, repository, content }),
    run: async (client: Client, input: Blob) => {
      await attempt(() => pull(client, input.who, input.repository, digestIn(client, input)));
    },
  }),
};
