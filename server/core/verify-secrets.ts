import { countLost, type LostSecrets } from './lost-secrets.ts';
import type { Checked, Verification } from './verify.ts';

/** Whether the configured master keys open every stored secret: else the server does not start, or a test or pull fails. */
export async function verifySecrets({ platform, report }: Verification, checked: Checked): Promise<void> {
  const { lost, looked } = await countLost(platform);
  checked.secrets = looked;
  for (const one of lost) {
    const what = `${one.column.title}: ${one.count}`;
    report({ kind: 'secrets lost', what, expected: 'a configured master key that opens them', found: describe(one) });
  }
}

const describe = ({ keyId, isConfigured }: LostSecrets): string =>
  `sealed with ${JSON.stringify(keyId)}, ${isConfigured ? 'but that key does not open them' : 'which is not configured'}`;
