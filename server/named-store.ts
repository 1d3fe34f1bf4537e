import { Failure } from '#core/failure.ts';
import type { BlobStore } from '#core/platform.ts';

/** A copy has two stores, and what one of them refuses must say which. `what`: such as "The source, the bucket x". */
export function nameStore<Store extends BlobStore>(store: Store, what: string): Store {
  const named = newNaming(what);
  return {
    ...store,
    write: (key, bytes) => store.write(key, bytes).catch(named),
    size: (key) => store.size(key).catch(named),
    remove: (key, hint) => store.remove(key, hint).catch(named),
    check: () => store.check().catch(named),
    async read(key, range) {
      const stream = await store.read(key, range).catch(named);
      // Before the other store, which is fed with it, takes the error for its own.
      stream?.prependOnceListener('error', (error) => addName(error, what));
      return stream;
    },
  };
}

function newNaming(what: string) {
  return (error: unknown): never => {
    addName(error, what);
    if (error instanceof Failure || !isAnswer(error)) throw error;
    // Of the server's own: a region that is a wrong one, a request that it does not know.
    throw Object.assign(new Failure('unavailable', `${what}: ${error.name}: ${error.message}`), { cause: error });
  };
}

const isAnswer = (error: unknown): error is Error => error instanceof Error && '$metadata' in error;

/** An error may come by twice: from a stream, and from the store that it is written to. */
const named = new WeakSet<Failure>();

function addName(error: unknown, what: string): void {
  if (!(error instanceof Failure) || named.has(error)) return;
  named.add(error);
  error.message = `${what}: ${error.message}`;
}
