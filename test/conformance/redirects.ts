import assert from 'node:assert/strict';

// A registry may send a client that reads a blob to where its bytes lie. What the specification wants of the registry must
// be in the answer that sends it there; status, range and bytes are the store's.

/** Set together with a bucket by whoever wants it tried: LADING_TEST_STORAGE_REDIRECT. */
export const redirects = process.env.LADING_TEST_STORAGE_REDIRECT === 'true';

/** What a client has in the end that follows a redirect. Elsewhere than at blobs, and where nothing redirects, there is none. */
export async function followRedirect(method: string, path: string, range: string | undefined, answer: Response) {
  if (redirects && method === 'GET' && isBlob(path) && answer.ok)
    assert.fail(`${path}: ${answer.status}, and not sent to the store`);
  if (answer.status < 300 || answer.status === 304 || answer.status >= 400) return answer;
  assert.ok(redirects && method === 'GET' && isBlob(path), `${method} ${path}: ${answer.status}`);
  const { headers } = answer;
  assert.equal(answer.status, 307);
  assert.equal(headers.get('docker-content-digest'), path.split('/').at(-1), 'the registry says what is there');
  assert.equal(headers.get('cache-control'), 'no-store', 'an address that is good for minutes');
  assert.equal((await answer.arrayBuffer()).byteLength, 0);
  // Without credentials: what clients do not send to another host must not be needed there.
  const content = await fetch(headers.get('location') ?? '', { headers: range === undefined ? {} : { range } });
  assert.equal(content.headers.get('docker-content-digest'), null, 'a store knows of no digests');
  const merged = new Headers(content.headers);
  merged.set('docker-content-digest', headers.get('docker-content-digest') ?? '');
  return new Response(content.body, { status: content.status, headers: merged });
}

const isBlob = (path: string) => /\/blobs\/sha\d+:[0-9a-f]+$/.test(path);
