import type { Digest } from './digest.ts';

export type Layer = { digest: string; mediaType: string; sizeBytes: number };
export type IndexEntry = Layer & { os: string; architecture: string; variant: string };

type Descriptor = {
  digest: Digest;
  mediaType?: unknown;
  size?: unknown;
  platform?: { os?: unknown; architecture?: unknown; variant?: unknown } | null;
};

/** `blobs` are the layers of the artifact manifest that OCI once had. */
type Content = { layers?: Descriptor[] | null; blobs?: Descriptor[] | null; manifests?: Descriptor[] | null };

const decoder = new TextDecoder();

/** What a stored manifest lists, in its order and with its repetitions. It was checked when it was pushed. */
export function parseContent(bytes: Uint8Array): { layers: Layer[]; entries: IndexEntry[] } {
  const manifest = JSON.parse(decoder.decode(bytes)) as Content;
  return {
    layers: (manifest.layers ?? manifest.blobs ?? []).map(toLayer),
    entries: (manifest.manifests ?? []).map((entry) => ({
      ...toLayer(entry),
      os: toText(entry.platform?.os),
      architecture: toText(entry.platform?.architecture),
      variant: toText(entry.platform?.variant),
    })),
  };
}

function toLayer({ digest, mediaType, size }: Descriptor): Layer {
  return { digest, mediaType: toText(mediaType), sizeBytes: typeof size === 'number' ? size : 0 };
}

const toText = (value: unknown) => (typeof value === 'string' ? value : '');
