import type { UpstreamCheck, UpstreamStep, UpstreamTarget } from '#core/upstream.ts';
import { openOutbound } from '#outbound/outbound.ts';
import { openUpstream } from '#upstream/upstream.ts';

export const alice = { username: 'alice', password: 'correct horse' };

/** An OCI registry on loopback with alice's credentials, unless said otherwise. */
export const targetOf = ({ host }: { host: string }, change: Partial<UpstreamTarget> = {}): UpstreamTarget => ({
  provider: 'oci',
  scheme: 'http',
  host,
  namespace: '',
  credentials: alice,
  tokenHost: null,
  awsRegion: null,
  ...change,
});

export const outbound = openOutbound({ allowed: [{ range: '127.0.0.0/8' }] });

export const { check } = openUpstream(outbound);

/** For servers that are silent. */
export const quickly = openUpstream(outbound, { limits: { requestMs: 300, checkMs: 1000 } });

/** `p`assed, `f`ailed and `s`kipped, in the order of the steps. */
export const outline = ({ steps }: UpstreamCheck): string => steps.map(({ result }) => result[0]).join('');

export const messageOf = ({ steps }: UpstreamCheck, step: UpstreamStep): string =>
  steps.find((one) => one.step === step)?.message ?? '';
