import type { Log } from '#core/platform.ts';
import type { RequestEnd } from './request-end.ts';

/** One line for each request, at its end. Never a body, a header, or a query: signed links have secrets there. */
export function logRequests(log: Log): (end: RequestEnd) => void {
  return ({ id, method, url, route, hidesPath, address, notes, status, isCutOff, ms }) => {
    const fields = { id, address, ...notes, status, ...(isCutOff && { cutOff: true }), ms: Math.round(ms) };
    const path = hidesPath ? (route ?? '') : pathOf(url);
    log[status >= 500 ? 'error' : 'info'](fields, `${method} ${path}`);
  };
}

export function pathOf(url: string): string {
  const end = url.indexOf('?');
  return (end < 0 ? url : url.slice(0, end)).slice(0, 500);
}
