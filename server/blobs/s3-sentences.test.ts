import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Failure } from '#core/failure.ts';
import { newObjectKey } from '#core/ids.ts';
import {
  inChunks,
  listAll,
  MiB,
  openFaulty,
  prefix,
  s3Server,
  testOnS3,
  unavailable,
  writeNew,
} from '#test/s3-world.ts';
import { openS3Store, type S3Store } from './s3.ts';

/** What each call of the store throws. */
async function faultsOf(store: S3Store): Promise<Failure[]> {
  const calls = [
    store.check(),
    store.size(newObjectKey()),
    store.read(newObjectKey()),
    store.remove(newObjectKey()),
    store.join(newObjectKey(), [newObjectKey()]),
    store.write(newObjectKey(), inChunks(randomBytes(10))),
    store.write(newObjectKey(), inChunks(randomBytes(9 * MiB))),
  ];
  const outcomes = await Promise.allSettled(calls);
  return outcomes.map((outcome, n) => {
    assert.ok(outcome.status === 'rejected' && outcome.reason instanceof Failure, `call ${n}: ${show(outcome)}`);
    return outcome.reason;
  });
}

const show = (outcome: object) => ('reason' in outcome ? String((outcome.reason as Error).stack) : 'no error');

testOnS3(() => {
  test('the operator learns what to check and where, clients neither', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    const table: [number, string, RegExp][] = [
      [403, 'AccessDenied', /may not do this.*AWS_ACCESS_KEY_ID/],
      [403, 'InvalidAccessKeyId', /does not know the access key.*AWS_ACCESS_KEY_ID/],
      [404, 'XAdminUserNotFound', /does not know the access key.*AWS_ACCESS_KEY_ID/],
      [403, 'SignatureDoesNotMatch', /AWS_SECRET_ACCESS_KEY/],
      [404, 'NoSuchBucket', /Make the bucket.*LADING_STORAGE_URL/],
      [400, 'AuthorizationHeaderMalformed', /region/],
      [409, 'NobodyKnowsThis', /LADING_STORAGE_URL/],
      [503, 'ServiceUnavailable', /endpoint in LADING_STORAGE_URL/],
    ];
    for (const [status, code, advice] of table) {
      proxy.fault = () => ({ answer: status, body: `<Error><Code>${code}</Code><Message>no</Message></Error>` });
      for (const { reason, message, detail } of await faultsOf(store)) {
        assert.equal(reason, 'unavailable');
        const { forOperator = '' } = detail;
        assert.match(forOperator, advice);
        assert.ok(forOperator.includes(bucket) && forOperator.includes(proxy.url), forOperator);
        assert.match(forOperator, new RegExp(`${code}|${status}`), 'what the server said');
        assert.ok(!message.includes(bucket) && !message.includes(proxy.url), message);
        assert.doesNotMatch(message, /AWS_|LADING_/);
      }
    }
  });

  test('a server that is not there, and a name that may not be a code, are said without harm', async (t) => {
    const { proxy, store } = await openFaulty(t);
    proxy.fault = () => ({ answer: 418, body: '<Error><Code>a b\u0007\n&lt;c&gt;</Code></Error>' });
    for (const { detail } of await faultsOf(store)) assert.match(detail.forOperator ?? '', /^[ -~]+$/);
    const location = { bucket: 'images', prefix, endpoint: 'http://127.0.0.1:9', region: undefined, isPathStyle: true };
    const nobody = openS3Store(location);
    t.after(() => nobody.close());
    for (const { detail } of await faultsOf(nobody)) {
      assert.match(
        detail.forOperator ?? '',
        /^The bucket images at http:\/\/127\.0\.0\.1:9 .*ECONNREFUSED.*LADING_STORAGE_URL/,
      );
    }
  });

  test('keys of nobody, and a key with the secret of another, are refused credentials', async (t) => {
    const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
    t.after(() => void Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY }));
    const bucket = await s3Server().makeBucket();
    const wrong = [
      [{ AWS_ACCESS_KEY_ID: 'nobody' }, /access key.*AWS_ACCESS_KEY_ID/],
      [{ AWS_SECRET_ACCESS_KEY: 'wrong' }, /AWS_SECRET_ACCESS_KEY/],
    ] as const;
    for (const [change, advice] of wrong) {
      Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY }, change);
      const { endpoint } = s3Server();
      const store = openS3Store({ bucket, prefix, endpoint, region: undefined, isPathStyle: true });
      t.after(() => store.close());
      for (const failure of await faultsOf(store)) {
        assert.match(failure.message, /refuses our credentials/);
        assert.match(failure.detail.forOperator ?? '', advice);
      }
    }
  });

  // Its row would say that it was written to its end, and nobody would look for the other upload when it is removed.
  test('a write that cannot look for the upload whose name was lost fails, and its removal leaves nothing', async (t) => {
    const { proxy, store, bucket } = await openFaulty(t);
    let begun = 0;
    proxy.fault = ({ method, url = '' }) => {
      if (method === 'POST' && /[?&]uploads(?:=|&|$)/.test(url) && begun++ === 0) return { loseAnswer: true };
      return method === 'GET' && /[?&]uploads(?:=|&|$)/.test(url) ? { answer: 500 } : undefined;
    };
    const key = newObjectKey();
    const written = store.write(key, inChunks(randomBytes(9 * MiB)));
    await assert.rejects(written, unavailable(/does not answer/));
    assert.equal(begun, 2);
    assert.deepEqual((await listAll(bucket)).uploads, [key]);
    proxy.fault = () => undefined;
    await store.remove(key);
    const other = await writeNew(store, 10);
    assert.deepEqual(await listAll(bucket), { objects: [other.key], uploads: [] });
  });
});
