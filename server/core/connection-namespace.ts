// What is below the host of a connection. People give it as the namespace, or as the path of the URL where they know no
// other way, or both. It is kept once, as the namespace; the URL stays as it was given.

import { pathOf, readPlace, refuseConnection } from './connection-url.ts';

const namespace = /^[A-Za-z0-9._/:-]{0,255}$/;

/** Pages for people, with paths of their own. */
const pagesHost = 'hub.docker.com';

/** Organization, project or repository below the host; may be empty. Throws `invalid` where the URL says another. */
export function parseNamespace(given: string, url: string): string {
  if (!namespace.test(given)) {
    return refuseConnection('namespace', 'must be at most 255 letters, digits and . _ - / :');
  }
  const path = pathOf(url);
  if (path === '') return given;
  if (readPlace(url).host === pagesHost || !namespace.test(path)) {
    return refuseConnection('url', 'must have no path: what is below the host belongs into the namespace');
  }
  if (given === '' || isSame(given, path)) return given || path;
  return refuseConnection('namespace', 'is not the path of the url: give the one or the other, or the same');
}

type Current = { url: string; host: string; namespace: string };

/** The namespace after a change of the URL, the namespace, or both. One that came with the old URL goes with it. */
export function changeNamespace(current: Current, url: string, given: string | undefined): string {
  if (given !== undefined) return parseNamespace(given, url);
  if (url === current.url) return current.namespace;
  const before = pathOf(current.url);
  const cameWithUrl = before !== '' && isSame(before, current.namespace);
  // Some APIs show and take back the host alone.
  const isHostAlone = pathOf(url) === '' && readPlace(url).host === current.host;
  return parseNamespace(cameWithUrl && !isHostAlone ? '' : current.namespace, url);
}

const bare = (text: string) => text.replace(/^\/+|\/+$/g, '').toLowerCase();
const isSame = (one: string, other: string) => bare(one) === bare(other);
