const objectKey = /^[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+)*$/;

/** No dot can occur in a key, so none leaves the place of the store and none is another's temporary name. */
export function requireObjectKey(key: string): string {
  if (!objectKey.test(key)) throw new Error(`${JSON.stringify(key)} is not an object key.`);
  return key;
}
