// What is known of the registries that teams use elsewhere. A provider is what people say it is: nothing is guessed from a
// host, and a registry of a provider that is not listed is an `oci` one.

export const providers = [
  'dockerhub',
  'ghcr',
  'gcr',
  'artifact-registry',
  'ecr',
  'acr',
  'gitlab',
  'digitalocean',
  'quay',
  'oci',
] as const;
export type Provider = (typeof providers)[number];

export type ProviderRules = {
  title: string;
  /** Where a connection leads whose URL is not given; null: it must be. */
  defaultUrl: string | null;
  /** Hosts that its registries have; null: any. */
  host: { pattern: RegExp; says: string } | null;
  /** What opens it. `key_file`: a Google service account; `aws`: an access key, of which a token is made. */
  secret: 'password' | 'key_file' | 'aws';
  /** What people should enter, said when they did not, and shown by forms. */
  usernameHint: string;
  secretHint: string;
  /** The host that speaks the registry API, where that is another one. */
  apiHost: string | null;
  /** Its key in a Docker config, where that is not the host. */
  dockerConfigKey: string | null;
  /** Hosts of its token service beyond the registry's own domain. */
  tokenHosts: readonly string[];
  /** Its token service refuses wrong credentials, where others answer with a token for anybody. */
  refusesWrongCredentials: boolean;
  /** How many parts the path of a repository has. Shorter ones are an account or a project; `max` null: no end. */
  repositoryParts: { min: number; max: number | null };
  /** Whether `/v2/_catalog` may tell what is below a namespace. */
  listsRepositories: boolean;
  /** A repository kept for asking how many pulls are left. */
  rateLimitRepository: string | null;
};

const anyPassword = {
  secret: 'password',
  apiHost: null,
  dockerConfigKey: null,
  tokenHosts: [],
  refusesWrongCredentials: true,
  repositoryParts: { min: 1, max: null },
  listsRepositories: true,
  rateLimitRepository: null,
} as const;
const keyFile = { ...anyPassword, secret: 'key_file', usernameHint: '_json_key' } as const;
const keyFileHint = 'the JSON key file of a service account that may read';

export const providerRules: Readonly<Record<Provider, ProviderRules>> = {
  dockerhub: {
    ...anyPassword,
    title: 'Docker Hub',
    defaultUrl: 'docker.io',
    host: {
      pattern: /^(?:(?:(?:index|registry-1)\.)?docker\.io|(?:registry\.)?hub\.docker\.com)$/,
      says: 'docker.io',
    },
    usernameHint: 'your Docker ID or the name of your organization',
    secretHint: 'a password or an access token',
    apiHost: 'registry-1.docker.io',
    dockerConfigKey: 'https://index.docker.io/v1/',
    tokenHosts: ['auth.docker.io'],
    repositoryParts: { min: 2, max: 2 },
    listsRepositories: false,
    rateLimitRepository: 'ratelimitpreview/test',
  },
  ghcr: {
    ...anyPassword,
    title: 'GitHub Container Registry',
    defaultUrl: 'ghcr.io',
    host: { pattern: /^ghcr\.io$/, says: 'ghcr.io' },
    usernameHint: 'your GitHub login',
    secretHint: 'a personal access token (classic) with read:packages',
    repositoryParts: { min: 2, max: null },
    listsRepositories: false,
  },
  gcr: {
    ...keyFile,
    title: 'Google Container Registry',
    defaultUrl: 'gcr.io',
    host: { pattern: /^(?:(?:eu|us|asia)\.)?gcr\.io$/, says: 'gcr.io, eu.gcr.io, us.gcr.io or asia.gcr.io' },
    secretHint: keyFileHint,
    repositoryParts: { min: 2, max: null },
  },
  'artifact-registry': {
    ...keyFile,
    title: 'Google Artifact Registry',
    defaultUrl: null,
    host: { pattern: /^[a-z0-9-]+-docker\.pkg\.dev$/, says: '<location>-docker.pkg.dev' },
    secretHint: keyFileHint,
    repositoryParts: { min: 3, max: null },
  },
  ecr: {
    ...anyPassword,
    title: 'Amazon ECR',
    defaultUrl: null,
    host: {
      pattern: /^[0-9]{12}\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?$/,
      says: '<account>.dkr.ecr.<region>.amazonaws.com',
    },
    secret: 'aws',
    usernameHint: 'an access key id (AKIA…)',
    secretHint: 'the secret access key that belongs to it',
  },
  acr: {
    ...anyPassword,
    title: 'Azure Container Registry',
    defaultUrl: null,
    host: { pattern: /^[a-z0-9-]+\.azurecr\.(?:io|cn|us)$/, says: '<name>.azurecr.io' },
    usernameHint: 'a token name, an admin user or the id of a service principal',
    secretHint: 'its password',
  },
  gitlab: {
    ...anyPassword,
    title: 'GitLab',
    defaultUrl: 'registry.gitlab.com',
    host: null,
    usernameHint: 'your user name, or that of a deploy token',
    secretHint: 'a token with read_registry',
    tokenHosts: ['gitlab.com'],
    repositoryParts: { min: 2, max: null },
    listsRepositories: false,
  },
  digitalocean: {
    ...anyPassword,
    title: 'DigitalOcean',
    defaultUrl: 'registry.digitalocean.com',
    host: { pattern: /^registry\.digitalocean\.com$/, says: 'registry.digitalocean.com' },
    usernameHint: 'the e-mail address of the account, or its API token',
    secretHint: 'an API token with read access',
    tokenHosts: ['api.digitalocean.com'],
    repositoryParts: { min: 2, max: null },
  },
  quay: {
    ...anyPassword,
    title: 'Quay',
    defaultUrl: 'quay.io',
    host: null,
    usernameHint: 'your user name, or that of a robot (organization+robot)',
    secretHint: 'a password, or the token of the robot',
    repositoryParts: { min: 2, max: null },
  },
  oci: {
    ...anyPassword,
    title: 'Another OCI registry',
    defaultUrl: null,
    host: null,
    usernameHint: 'the user name of `docker login`',
    secretHint: 'its password or token',
    refusesWrongCredentials: false,
  },
};
