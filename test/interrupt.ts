import type { TestPlatform } from './platform.ts';

/** The same platform, but something happens just before its next transaction: between what a request read and what it does. */
export function beforeTransaction(platform: TestPlatform, work: () => Promise<unknown>): TestPlatform {
  const db = platform.db.withoutPlugins();
  const transaction = db.transaction.bind(db);
  let isDue = true;
  const interrupted = () => {
    const builder = transaction();
    const execute: typeof builder.execute = async (callback) => {
      if (isDue) {
        isDue = false;
        await work();
      }
      return builder.execute(callback);
    };
    return { execute };
  };
  return { ...platform, db: Object.assign(db, { transaction: interrupted }) as unknown as TestPlatform['db'] };
}
