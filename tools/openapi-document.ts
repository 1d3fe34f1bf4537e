import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fastify } from 'fastify';
import type { Platform } from '#core/platform.ts';
import { bindNative } from '#native/routes.ts';

const path = 'docs/openapi.json';

/** Binding endpoints asks nothing of the platform: whatever does is a fault that ends this. */
const unopened = new Proxy({} as Platform, {
  get: (_target, name) => {
    throw new Error(`platform.${String(name)} is asked for before there is a request`);
  },
});

/** The document that the native API publishes, as text. */
export async function renderOpenApi(): Promise<string> {
  const app = fastify();
  bindNative(app, unopened);
  const { body } = await app.inject('/lading/v1/openapi.json');
  await app.close();
  return `${JSON.stringify(JSON.parse(body), null, 2)}\n`;
}

export async function writeOpenApi(root: string): Promise<void> {
  writeFileSync(join(root, path), await renderOpenApi());
}

/** The copy in the repository is what reviewers and generators of clients read. */
export async function checkOpenApi(root: string): Promise<string[]> {
  const kept = existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '';
  return kept === (await renderOpenApi())
    ? []
    : [`${path} is not what the API says. Run: node tools/check-docs.ts --write`];
}
