import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsV4Signer } from 'aws4fetch';
import { signHeaders, signQuery, unsignedPayload } from './s3-signature.ts';

// Against another implementation, as of the same second.

const at = new Date('2026-02-03T04:05:06.789Z');
const datetime = '20260203T040506Z';
const credentials = {
  accessKeyId: 'AKIAEXAMPLE',
  secretAccessKey: 'secret/with+signs',
  sessionToken: 'a/token+with=signs',
};
const host = 'bucket.s3.eu-central-1.amazonaws.com:8443';
const path = '/some/where/ab/ab12';
const region = 'eu-central-1';

for (const sessionToken of [undefined, credentials.sessionToken]) {
  const signer = { credentials: { ...credentials, sessionToken }, region };
  const own = { ...credentials, ...(sessionToken === undefined ? { sessionToken: '' } : {}) };
  const other = { ...own, service: 's3', region, datetime };
  const which = sessionToken === undefined ? 'lasting credentials' : 'credentials of a session';

  test(`a signed URL is the one that others make of ${which}`, async () => {
    const signed = signQuery(signer, { method: 'GET', host, path, at }, 300, { 'response-content-type': 'a/b (c)' });
    const url = new URL(`https://${host}${path}`);
    for (const [name, value] of new URLSearchParams(signed)) {
      if (name === 'X-Amz-Expires' || name === 'X-Amz-Content-Sha256' || !name.startsWith('X-Amz')) {
        url.searchParams.set(name, value);
      }
    }
    const expected = await new AwsV4Signer({ ...other, url: url.href, signQuery: true }).sign();
    const signature = (query: string | URLSearchParams) => new URLSearchParams(query).get('X-Amz-Signature');
    assert.equal(signature(signed), signature(expected.url.searchParams));
  });

  test(`signed headers are those that others make of ${which}`, async () => {
    const payload = 'ab'.repeat(32);
    for (const [method, query, range] of [
      ['PUT', 'partNumber=7&uploadId=a%2Fb%3D', undefined],
      ['GET', '', 'bytes=1-2'],
    ] as const) {
      const headers = signHeaders(signer, { method, host, path, query, at }, payload, range);
      const { headers: expected } = await new AwsV4Signer({
        ...other,
        method,
        url: `https://${host}${path}${query === '' ? '' : `?${query}`}`,
        headers: { 'X-Amz-Content-Sha256': payload, ...(range !== undefined && { range }) },
        allHeaders: true,
      }).sign();
      assert.equal(
        headers.authorization?.split('Signature=')[1],
        expected.get('authorization')?.split('Signature=')[1],
      );
    }
  });
}

test('another day is signed with another key', () => {
  const signer = { credentials, region };
  const signatureOf = (at: Date) =>
    signHeaders(signer, { method: 'GET', host, path, at }, unsignedPayload).authorization;
  const [first, next] = [signatureOf(at), signatureOf(new Date(at.getTime() + 86_400_000))];
  assert.notEqual(first, next);
  assert.equal(signatureOf(at), first);
});
