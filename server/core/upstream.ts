import type { Provider } from './providers.ts';

/** What opens a registry: a password, a service account's key file (its JSON text), or the `auths` of a Docker config. */
export type ConnectionSecret =
  /** `username`: only where that is a secret itself, and shown nowhere. */
  | { kind: 'password'; password: string; username?: string }
  | { kind: 'key_file'; keyFile: string }
  | { kind: 'auths'; auths: Readonly<Record<string, HostCredentials>> };

export type HostCredentials = { username: string; password: string };

/** One registry as it is to be spoken to. `credentials` null: anonymously. */
export type UpstreamTarget = {
  provider: Provider;
  /** `http` only where the operator allowed it. */
  scheme: 'http' | 'https';
  /** `name[:port]`, lower case, as people know it: `docker.io`. */
  host: string;
  namespace: string;
  credentials: HostCredentials | null;
  /** Host of a token service elsewhere that may be given the credentials. */
  tokenHost: string | null;
  awsRegion: string | null;
};

export const upstreamSteps = ['reach', 'tls', 'registry', 'challenge', 'token', 'namespace'] as const;
export type UpstreamStep = (typeof upstreamSteps)[number];

/** `skipped`: an earlier one decided, or there is nothing to ask. `message` is a sentence for people, without secrets. */
export type UpstreamStepResult = { step: UpstreamStep; result: 'passed' | 'failed' | 'skipped'; message: string };

/** What the registry says is left of its pulls, as Docker Hub does. */
export type UpstreamRateLimit = { limit: number; remaining: number; windowSeconds: number };

export type UpstreamCheck = {
  /** All of `upstreamSteps`, in their order. */
  steps: readonly UpstreamStepResult[];
  /** Milliseconds from the beginning to the last answer. */
  latencyMs: number;
  rateLimit: UpstreamRateLimit | null;
  /** When what is stored ends, where the registry tells; not when a token made of it does. */
  credentialsExpireAt: number | null;
};

/** What `docker login` takes. `expiresAt` null: not before the stored secret does. */
export type UpstreamLogin = { username: string; password: string; expiresAt: number | null };

/** `message` as in `UpstreamStepResult`. */
export type UpstreamFault = { step: UpstreamStep; message: string };

/** Speaking to registries elsewhere, through the one way out. What fails there is a value, not an exception. */
export type Upstream = {
  /** Tries what a pull would do, step by step. Takes 30 s at most. */
  check(target: UpstreamTarget): Promise<UpstreamCheck>;
  /** What pulls: the stored credentials, or what a provider gives for them (ECR: a token of 12 hours). */
  logIn(target: UpstreamTarget & { credentials: HostCredentials }): Promise<UpstreamLogin | UpstreamFault>;
};

export const isUpstreamFault = (result: UpstreamLogin | UpstreamFault): result is UpstreamFault => 'step' in result;
