import { createHash } from 'node:crypto';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { type AppOptions, buildApp } from '#server/app.ts';
import type { Scope } from './database.ts';
import { openTestPlatform } from './platform.ts';

export type Answer = {
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  text: string;
  bytes: Buffer;
  /** The code of the first error of the body. */
  code: string | undefined;
};

export type Ask = (method: string, url: string, options?: AskOptions) => Promise<Answer>;
export type AskOptions = { headers?: Record<string, string>; body?: string | Buffer; from?: string };

/** The real app on a platform of its own, asked without a socket. */
export async function openOci(t: Scope, options: AppOptions = {}) {
  const platform = await openTestPlatform(t);
  const app = await buildApp(platform, options);
  t.after(() => app.close());
  return { platform, app, ask: askerOf(app) };
}

export function askerOf(app: FastifyInstance): Ask {
  return async (method, url, { headers = {}, body, from = '127.0.0.1' } = {}) => {
    const response = await app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url,
      headers: { host: 'localhost:8080', ...headers },
      remoteAddress: from,
      ...(body !== undefined && { payload: body }),
    });
    return {
      status: response.statusCode,
      headers: response.headers as Answer['headers'],
      text: response.body,
      bytes: response.rawPayload,
      code: /^\{"errors":\[\{"code":"([A-Z_]+)"/.exec(response.body)?.[1],
    };
  };
}

/** The same, with an `Authorization` header. */
export function withAuthorization(ask: Ask, authorization: string): Ask {
  return (method, url, options = {}) =>
    ask(method, url, { ...options, headers: { authorization, ...options.headers } });
}

export function basic(secret: string, user = 'someone'): string {
  return `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
}

export const bearer = (token: string) => `Bearer ${token}`;

/** A Bearer header with an access token of `/token` for these scopes; an anonymous one without credentials. */
export async function signInFor(ask: Ask, authorization: string | undefined, ...scopes: string[]): Promise<string> {
  const query = new URLSearchParams(scopes.map((scope) => ['scope', scope]));
  const headers = authorization === undefined ? {} : { authorization };
  const answer = await ask('GET', `/token?${query}`, { headers });
  return bearer(JSON.parse(answer.text).token);
}

export function digestOf(bytes: string | Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** In one POST. Answers the digest; throws what the registry said instead of 201. */
export async function pushBlob(ask: Ask, repository: string, bytes: string): Promise<string> {
  const digest = digestOf(bytes);
  await expect201(ask('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes }));
  return digest;
}

export const imageType = 'application/vnd.oci.image.manifest.v1+json';

/** An image of these layers, pushed with them. Answers the digest of its manifest. */
export async function pushImage(ask: Ask, repository: string, tag: string, layers: string[] = ['layer']) {
  const described = [];
  for (const text of ['{}', ...layers]) {
    described.push({ digest: await pushBlob(ask, repository, text), size: Buffer.byteLength(text) });
  }
  const [config, ...rest] = described;
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: imageType,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', ...config },
    layers: rest.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer })),
  });
  const headers = { 'content-type': imageType };
  await expect201(ask('PUT', `/v2/${repository}/manifests/${tag}`, { headers, body }));
  return digestOf(body);
}

async function expect201(asked: Promise<Answer>): Promise<void> {
  const { status, text } = await asked;
  if (status !== 201) throw new Error(`${status} instead of 201: ${text}`);
}
