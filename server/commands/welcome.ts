import type { FirstStart } from '#server/first-key.ts';

export type WelcomeInput = FirstStart & {
  /** `http://127.0.0.1:8080`, as clients reach the first region. */
  url: string;
  /** Only a terminal is shown the key: whatever else reads our output keeps it. */
  isTerminal: boolean;
};

/** Printed once, by the start that made an owner's key. The three commands work when pasted as they stand. */
export function welcomeText({ url, registryName, isNewTeam, secret, keyFile, isTerminal }: WelcomeInput): string {
  const { host } = new URL(url);
  const image = `${host}/${registryName ?? 'a-registry'}/alpine:latest`;
  const made = isNewTeam
    ? `has made a first registry, ${registryName}`
    : "has made a new owner's API key, because no key was left that could make keys";
  const password = keyFile === undefined ? 'printenv LADING_BOOTSTRAP_KEY' : `cat ${quote(keyFile)}`;
  return `
Lading is ready at ${url} and ${made}.

${describeKey(keyFile, secret, isTerminal)}

To push an image that docker has:

  ${password} | docker login ${host} --username owner --password-stdin
  docker tag alpine:latest ${image}
  docker push ${image}

Tokens, projects, credentials of other registries: docs/api.md shows how, at ${url}/lading/v1.
`;
}

function describeKey(keyFile: string | undefined, secret: string, isTerminal: boolean): string {
  if (keyFile === undefined) return "The owner's API key is the one of LADING_BOOTSTRAP_KEY.";
  if (!isTerminal) return `The owner's API key is in ${keyFile}, until it is revoked.`;
  return `The owner's API key, shown this once; it is also kept in ${keyFile} until it is revoked:\n\n  ${secret}`;
}

const quote = (path: string) => (/^[A-Za-z0-9_./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`);
