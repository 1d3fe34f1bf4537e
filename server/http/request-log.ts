import type { Log } from '#core/platform.ts';
import type { RequestEnd } from './request-end.ts';

/** One line for each request, at its end. Never a body, a header, or a query: signed links have secrets there. */
export function logRequests(log: Log): (end: RequestEnd) => void {
  return ({ id, method, url, route, hidesPath, isProbe, address, notes, status, isCutOff, ms }) => {
    const fields = { id, address, ...notes, status, ...(isCutOff && { cutOff: true }), ms: Math.round(ms) };
    const path = hidesPath ? (route ?? '') : withoutSecrets(pathOf(url));
    log[levelOf(status, isProbe)](fields, `${method} ${path}`);
  };
}

function levelOf(status: number, isProbe: boolean | undefined): keyof Log {
  // Said on purpose, and only for a while.
  if (status === 503) return 'warn';
  if (status >= 500) return 'error';
  return isProbe ? 'debug' : 'info';
}

/** A vendor's paths name tokens by their secret, and a mistyped one of those finds no route that would hide it. */
export function withoutSecrets(path: string): string {
  return path.replace(/(ldg_[a-z]+_)[A-Za-z0-9_-]+/g, '$1…');
}

export function pathOf(url: string): string {
  const end = url.indexOf('?');
  return (end < 0 ? url : url.slice(0, end)).slice(0, 500);
}
