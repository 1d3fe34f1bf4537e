import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Keystone = { url: string; stop: () => Promise<void> };

/**
 * As much of OpenStack's Identity API v3 as clients ask before they come to us: a token, which is an API key of Lading, and
 * the catalogue that says where the services are.
 */
export async function startKeystone({ key, api }: { key: string; api: string }): Promise<Keystone> {
  const server = createServer((request, response) => {
    request.resume();
    const { port } = server.address() as AddressInfo;
    const services = {
      'container-registry': `${api}/v1`,
      'container-registry-v2': `${api}/v2`,
      identity: `http://127.0.0.1:${port}/identity`,
    };
    if (request.url !== '/identity/v3/auth/tokens') return void response.writeHead(404).end();
    if (request.method === 'POST') return sendToken(response.setHeader('x-subject-token', key), 201, services);
    if (request.method === 'GET' && request.headers['x-subject-token'] === key)
      return sendToken(response, 200, services);
    response.writeHead(401).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/identity/v3/`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function sendToken(response: ServerResponse, status: number, services: Readonly<Record<string, string>>): void {
  const catalog = Object.entries(services).map(([type, url]) => ({
    id: type,
    name: type,
    type,
    endpoints: [{ id: type, interface: 'public', region: 'ru-1', region_id: 'ru-1', url }],
  }));
  const token = {
    methods: ['password'],
    issued_at: '2026-01-01T00:00:00.000000Z',
    expires_at: '2099-01-01T00:00:00.000000Z',
    user: { id: 'user', name: 'user', domain: { id: 'domain', name: 'domain' } },
    project: { id: 'project', name: 'project', domain: { id: 'domain', name: 'domain' } },
    roles: [],
    catalog,
  };
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ token }));
}
