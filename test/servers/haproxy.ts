import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort, startChild } from './child.ts';
import type { Balancer, BalancerOptions } from './nginx.ts';

/** Debian's HAProxy, which asks each replica whether it is ready, as nginx cannot. By path: `sbin` is not on everybody's PATH. */
const program = '/usr/sbin/haproxy';

export async function startHaproxy(options: BalancerOptions): Promise<Balancer> {
  const directory = await mkdtemp(join(tmpdir(), 'lading-haproxy-'));
  const port = options.port ?? (await findFreePort());
  const host = `127.0.0.1:${port}`;
  const url = `http://${host}`;
  const path = join(directory, 'haproxy.cfg');
  await writeFile(path, configOf(host, options));
  const child = await startChild(program, ['-db', '-f', path], {
    cwd: directory,
    isReady: async () => (await fetch(`${url}/haproxy-is-up`)).status === 200,
  });
  const stop = async () => {
    await child.stop('SIGTERM');
    await rm(directory, { recursive: true, force: true });
  };
  return { url, host, child, stop };
}

/** What docs/operations.md tells an operator, but for `random`, plain HTTP and shorter times. */
function configOf(host: string, { upstreams }: BalancerOptions): string {
  return `
global
  log stderr format raw local0 notice
defaults
  mode http
  log global
  timeout connect 2s
  timeout http-request 30s
  timeout http-keep-alive 60s
  timeout client 15m
  timeout server 15m
  option redispatch
  retries 3
  retry-on conn-failure
frontend registry
  bind ${host}
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request return status 200 if { path /haproxy-is-up }
  default_backend lading
backend lading
  balance random
  option httpchk GET /readyz
  default-server check inter 300ms fall 2 rise 1 pool-purge-delay 2s
  ${upstreams.map((upstream, index) => `server replica${index} ${upstream}`).join('\n  ')}
`;
}
