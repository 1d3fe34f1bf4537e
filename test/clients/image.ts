import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** Bytes with their descriptor: a config, a layer or a manifest. */
export type Content = { bytes: Buffer; mediaType: string; digest: string };
export type Image = { manifest: Content; config: Content; layers: Content[]; architecture: string };

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

export function sha256(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function toContent(bytes: Buffer, mediaType: string): Content {
  return { bytes, mediaType, digest: sha256(bytes) };
}

function toDescriptor({ bytes, mediaType, digest }: Content) {
  return { mediaType, digest, size: bytes.length };
}

function jsonContent(value: unknown, mediaType: string): Content {
  return toContent(Buffer.from(JSON.stringify(value)), mediaType);
}

/** An image that every client can unpack; random, so that no two tests share a blob by accident. */
export function makeImage({ layers = 2, layerBytes = 50_000, architecture = 'amd64' } = {}): Image {
  const tars = Array.from({ length: layers }, (_, i) => makeTar({ [`file-${i}`]: randomBytes(layerBytes) }));
  const packed = tars.map((tar) => toContent(gzipSync(tar, { level: 1 }), OCI_LAYER));
  const config = jsonContent(
    {
      architecture,
      os: 'linux',
      created: '2026-01-02T03:04:05Z',
      config: { Cmd: ['/file-0'] },
      rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
      history: tars.map((_, i) => ({ created: '2026-01-02T03:04:05Z', created_by: `layer ${i}` })),
    },
    OCI_CONFIG,
  );
  const manifest = jsonContent(
    { schemaVersion: 2, mediaType: OCI_MANIFEST, config: toDescriptor(config), layers: packed.map(toDescriptor) },
    OCI_MANIFEST,
  );
  return { manifest, config, layers: packed, architecture };
}

/** The index of one image for each architecture. */
export function makeIndex(images: Image[]): Content {
  const manifests = images.map(({ manifest, architecture }) => ({
    ...toDescriptor(manifest),
    platform: { os: 'linux', architecture },
  }));
  return jsonContent({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }, OCI_INDEX);
}

/** An OCI image layout on disk, the form that all clients read; `tag` names the index where there is one. */
export async function writeLayout(directory: string, tag: string, images: Image[], index?: Content): Promise<void> {
  const blobs = join(directory, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const contents = images.flatMap(({ manifest, config, layers }) => [manifest, config, ...layers]);
  const top = index ?? images[0]?.manifest;
  if (top === undefined) throw new Error('a layout needs an image');
  for (const { bytes, digest } of [...contents, top]) await writeFile(join(blobs, digest.slice(7)), bytes);
  const named = { ...toDescriptor(top), annotations: { 'org.opencontainers.image.ref.name': tag } };
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

/** A tar archive of plain files, ustar. */
export function makeTar(files: Record<string, Buffer>): Buffer {
  const parts = Object.entries(files).flatMap(([name, bytes]) => [
    tarHeader(name, bytes.length),
    bytes,
    padding(bytes),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

function padding(bytes: Buffer): Buffer {
  return Buffer.alloc((512 - (bytes.length % 512)) % 512);
}

function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`;
  header.write(name, 0);
  header.write(octal(0o644, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(size, 11), 124);
  header.write(octal(0, 11), 136);
  header.write('        ', 148); // the checksum is taken with its own field blank
  header.write('0', 156);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
