import { isFault, type OutboundAnswer } from '#core/outbound.ts';
import { type Provider, providerRules } from '#core/providers.ts';
import type { UpstreamStepResult, UpstreamTarget } from '#core/upstream.ts';
import { type Access, authorize, chooseAccess, type Denial, isDenial, readOffer } from './access.ts';
import type { Conversation } from './conversation.ts';
import { objectOf } from './json-answer.ts';
import { isRefusal, toTrouble } from './sentences.ts';

type Finding = Omit<UpstreamStepResult, 'step'>;

const passed = (message: string): Finding => ({ result: 'passed', message });
const failed = (message: string): Finding => ({ result: 'failed', message });
const skipped = (message: string): Finding => ({ result: 'skipped', message });

const part = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryName = new RegExp(`^${part}(?:/${part})*$`);

/**
 * Whether something under the namespace may be read. A namespace can be a repository, or what the names of repositories
 * begin with, and nothing tells which: first it is taken for a repository, then the first one below it is looked for.
 */
export async function checkNamespace(talk: Conversation, access: Access): Promise<Finding> {
  const { host, provider } = talk.target;
  const namespace = namespaceOf(talk.target);
  if (namespace === '') return skipped('No namespace is given, so nothing was looked for.');
  if (!repositoryName.test(namespace)) return failed(`"${namespace}" cannot be the name of anything in a registry.`);
  const own = await listTags(talk, access, namespace);
  if (isDenial(own) && !own.isRefusal) return failed(own.message);
  if (!isDenial(own) && own.status === 200) return passed(`${namespace} is a repository, and it may be read.`);
  const isUnknown = !isDenial(own) && [400, 404, 405].includes(own.status);
  if (!isUnknown && !isDenial(own) && !isRefusal(own)) return failed(toTrouble(host, own));
  if (couldBeRepository(provider, namespace) === 'certainly' && !isUnknown) return failed(notReadable(host, namespace));
  return providerRules[provider].listsRepositories
    ? lookBelow(talk, access, namespace, isUnknown)
    : skipped(notListed(host, namespace));
}

/** As image names have it: in lower case, and without the colon of Google's `example.com:project`. */
function namespaceOf({ namespace, provider }: UpstreamTarget): string {
  const name = namespace.replace(/^\/+|\/+$/g, '').toLowerCase();
  return providerRules[provider].secret === 'key_file' ? name.replaceAll(':', '/') : name;
}

/** By the rules of the provider. */
function couldBeRepository(provider: Provider, namespace: string): 'no' | 'maybe' | 'certainly' {
  const { min, max } = providerRules[provider].repositoryParts;
  const parts = namespace.split('/').length;
  if (parts < min || parts > (max ?? parts)) return 'no';
  return min === max ? 'certainly' : 'maybe';
}

/** For services that give anonymous tokens for a repository and none for nothing. */
export function repositoryScopeOf(target: UpstreamTarget): string | undefined {
  const namespace = namespaceOf(target);
  const mayBe = repositoryName.test(namespace) && couldBeRepository(target.provider, namespace) !== 'no';
  return mayBe ? pullOf(namespace) : undefined;
}

const pullOf = (name: string): string => `repository:${name}:pull`;

const notReadable = (host: string, name: string) =>
  `${host} does not let these credentials read ${name}, or there is no such repository. Check the name and the rights.`;

const notListed = (host: string, namespace: string) =>
  `${namespace} is no repository that may be read, and ${host} does not list what is below it: it cannot be told whether anything there may be read.`;

// zot begins after `last` only where that is a repository, and lists nothing otherwise: then its first page has to do.
const catalogQueries = (namespace: string) => [{ n: '200', last: namespace }, { n: '1000' }];

async function lookBelow(talk: Conversation, access: Access, namespace: string, isUnknown: boolean): Promise<Finding> {
  const { host } = talk.target;
  for (const query of catalogQueries(namespace)) {
    const url = new URL('/v2/_catalog', talk.registry);
    url.search = new URLSearchParams(query).toString();
    const answer = await askAs(talk, access, url, 'registry:catalog:*');
    if (isDenial(answer)) return answer.isRefusal ? skipped(notListed(host, namespace)) : failed(answer.message);
    if (answer.status === 429) return failed(toTrouble(host, answer));
    const repositories = answer.status === 200 ? objectOf(answer)?.repositories : undefined;
    if (!Array.isArray(repositories)) return skipped(notListed(host, namespace));
    const first = firstBelow(namespace, repositories);
    if (first !== undefined) return readFirst(talk, access, first);
  }
  const why = isUnknown ? 'there is nothing yet' : 'nothing there is shown to these credentials';
  return skipped(`${host} lists no repository below ${namespace}: ${why}, so nothing could be read.`);
}

const firstBelow = (namespace: string, repositories: readonly unknown[]): string | undefined =>
  repositories.find(
    (name): name is string =>
      typeof name === 'string' && name.length <= 255 && name.startsWith(`${namespace}/`) && repositoryName.test(name),
  );

async function readFirst(talk: Conversation, access: Access, name: string): Promise<Finding> {
  const { host } = talk.target;
  const tags = await listTags(talk, access, name);
  if (isDenial(tags)) return failed(tags.isRefusal ? notReadable(host, name) : tags.message);
  if (tags.status === 200) return passed(`${name} may be read.`);
  if (isRefusal(tags)) return failed(notReadable(host, name));
  if (tags.status === 404) return skipped(`${host} lists ${name}, but there is nothing in it that could be read.`);
  return failed(toTrouble(host, tags));
}

function listTags(talk: Conversation, access: Access, name: string): Promise<OutboundAnswer | Denial> {
  const url = new URL(`/v2/${name}/tags/list?n=1`, talk.registry);
  return askAs(talk, access, url, pullOf(name));
}

/** A registry that let us in without a question may ask its question here. */
async function askAs(talk: Conversation, access: Access, url: URL, scope: string): Promise<OutboundAnswer | Denial> {
  const headers = await authorize(talk, access, scope);
  if (isDenial(headers)) return headers;
  const answer = await talk.ask({ url, headers: { ...headers } });
  if (isFault(answer)) return { isRefusal: false, message: answer.message };
  if (access.kind !== 'open' || answer.status !== 401) return answer;
  const offer = readOffer(answer);
  if (!offer) return answer;
  const asked = chooseAccess(talk, offer, access.credentials);
  return 'step' in asked ? { isRefusal: true, message: asked.message } : askAs(talk, asked, url, scope);
}
