import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, findFreePort, startChild } from './child.ts';

/** A load balancer in a process of its own. `host` is `127.0.0.1:PORT`. */
export type Balancer = { url: string; host: string; child: Child; stop: () => Promise<void> };

export type BalancerOptions = {
  /** `127.0.0.1:PORT` of each server behind it. */
  upstreams: readonly string[];
  port?: number;
};

/** By path: `sbin` is not on everybody's PATH. */
const program = '/usr/sbin/nginx';

/** Debian's nginx, which sends each request anywhere and learns who is there from refused connections alone. */
export async function startNginx(options: BalancerOptions): Promise<Balancer> {
  const directory = await mkdtemp(join(tmpdir(), 'lading-nginx-'));
  const port = options.port ?? (await findFreePort());
  const host = `127.0.0.1:${port}`;
  const url = `http://${host}`;
  const path = join(directory, 'nginx.conf');
  await writeFile(path, configOf(directory, host, options));
  const child = await startChild(program, ['-e', 'stderr', '-p', directory, '-c', path], {
    cwd: directory,
    isReady: async () => (await fetch(`${url}/nginx-is-up`)).status === 204,
  });
  const stop = async () => {
    await child.stop('SIGTERM'); // its "fast" shutdown: does not wait for clients to go
    await rm(directory, { recursive: true, force: true });
  };
  return { url, host, child, stop };
}

/**
 * What an operator would write, but for `random`, the file names and the short times.
 *
 * Retries: a request goes to another server after a refused connection, or one that broke before an answer. What nginx
 * has sent already is repeated for GET, HEAD, PUT and DELETE only, never for POST and PATCH, and never once it has begun
 * to send a body that streams: `proxy_request_buffering off` keeps no copy. A replica that answers 503 has decided
 * something and is believed.
 *
 * Idle connections: nginx lets go of one long before the server would, or it would send a request into a connection
 * that just closes, and a POST must not be repeated.
 */
function configOf(directory: string, host: string, { upstreams }: BalancerOptions): string {
  const servers = upstreams.map((upstream) => `server ${upstream} max_fails=1 fail_timeout=1s;`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${directory}/${name};`).join(' ')}
  upstream lading {
    random;
    ${servers.join('\n    ')}
    keepalive 32;
    keepalive_timeout 2s;
  }
  server {
    listen ${host};
    client_max_body_size 0;
    client_body_timeout 300s;
    keepalive_timeout 300s;
    keepalive_requests 1000000;
    location = /nginx-is-up { return 204; }
    location / {
      proxy_pass http://lading;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_connect_timeout 2s;
      proxy_read_timeout 300s;
      proxy_send_timeout 300s;
      proxy_next_upstream error timeout;
      add_header X-Served-By $upstream_addr always;
    }
  }
}
`;
}
