import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { FastifyInstance, RouteOptions } from 'fastify';

/** `url` as it was bound: parameters as `:name`. */
export type Route = { method: string; url: string };

/** Every route that is bound while this works, as Fastify itself tells: one that is added later is among them. */
export async function listRoutes(work: () => Promise<unknown>): Promise<Route[]> {
  const routes: Route[] = [];
  const note = ({ method, url }: RouteOptions) => {
    for (const one of [method].flat()) routes.push({ method: one, url });
  };
  const onApp = (message: unknown) => {
    (message as { fastify: FastifyInstance }).fastify.addHook('onRoute', note);
  };
  subscribe('fastify.initialization', onApp);
  try {
    await work();
  } finally {
    unsubscribe('fastify.initialization', onApp);
  }
  return routes;
}

export const parametersOf = ({ url }: Route): string[] => [...url.matchAll(/:(\w+)/g)].map((one) => one[1] ?? '');

/** `GET /lading/v1/…`, with each parameter as a path has it. */
export const requestOf = ({ method, url }: Route, values: Readonly<Record<string, string>>): string =>
  `${method} ${url.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(values[name] ?? ''))}`;
