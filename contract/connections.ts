import { type Static, Type } from 'typebox';
import { listOf, pageQuery, searchQuery } from './page.ts';
import { Project } from './projects.ts';
import { providerIds } from './providers.ts';
import { Id, idsOrNull, NameInput, named, nullable, oneOf, refer, Time } from './values.ts';

const statuses = ['untested', 'passed', 'failed'] as const;

/** How a test went, in short. */
const LastTest = Type.Object(
  {
    passed: Type.Boolean(),
    failedStep: nullable(Type.String()),
    message: Type.String({ description: 'One sentence for people.' }),
    testedAt: Time,
  },
  { additionalProperties: false },
);
const lastTest = (description: string) =>
  Type.Unsafe<Static<typeof LastTest> | null>({ ...LastTest, type: ['object', 'null'], description });

export const Connection = named(
  'Connection',
  {
    id: Id,
    name: Type.String(),
    slug: Type.String({ description: 'Made from the name at creation; never changes.' }),
    description: Type.String(),
    provider: oneOf(providerIds),
    url: Type.String({ description: 'As it was given.' }),
    host: Type.String({ description: 'What images are named with: name, perhaps with a port.' }),
    namespace: Type.String({ description: 'Organization, project or repository below the host; may be empty.' }),
    username: Type.String({ description: 'Empty without a secret, and where auths of several hosts have their own.' }),
    hasSecret: Type.Boolean({ description: 'False: it is read anonymously.' }),
    hasReplacement: Type.Boolean({ description: 'A new secret waits until it passes its test.' }),
    awsRegion: nullable(
      Type.String({ description: 'Kept for tools that want it; ECR is asked in the region of the host.' }),
    ),
    tokenHost: nullable(Type.String({ description: 'A token service elsewhere that may get the credentials.' })),
    projectIds: idsOrNull('The projects that may use it; null: all of the team.'),
    status: oneOf(statuses, { description: 'How its last test went.' }),
    testedAt: nullable(Time),
    lastTest: lastTest('Its last test; null while it is untested.'),
    credentialsExpireAt: nullable({ ...Time, description: 'When the stored secret ends, where a test has told.' }),
    createdAt: Time,
    updatedAt: Time,
  },
  'A registry elsewhere, and what opens it, which is shown nowhere but at reveal and in pull secrets.',
);

const secret = {
  username: Type.Optional(Type.String({ maxLength: 255 })),
  password: Type.Optional(Type.String({ maxLength: 16_384, writeOnly: true, description: 'Or an access token.' })),
  keyFile: Type.Optional(
    Type.Unsafe<unknown>({
      type: ['string', 'object'],
      maxLength: 16_384,
      writeOnly: true,
      description: 'Instead of a password: the JSON key file of a service account, as text or as it is.',
    }),
  ),
  auths: Type.Optional(
    Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      writeOnly: true,
      description: 'Instead of username and password: the auths of a Docker config.json.',
    }),
  ),
};

const projectIds = Type.Optional(
  Type.Unsafe<string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string', minLength: 1, maxLength: 255 },
    maxItems: 100,
    uniqueItems: true,
    description: 'Projects that may use it, by id or slug; null: all of the team; none: nobody.',
  }),
);

const place = {
  description: Type.Optional(Type.String({ maxLength: 1000 })),
  namespace: Type.Optional(Type.String({ maxLength: 255 })),
  awsRegion: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 50 }))),
  tokenHost: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 255 }))),
  projectIds,
};

export const CreateConnection = named('CreateConnection', {
  name: NameInput,
  provider: oneOf(providerIds),
  url: Type.Optional(
    Type.String({ minLength: 1, maxLength: 2000, description: 'A host, or https:// and a host; see the provider.' }),
  ),
  ...place,
  ...secret,
});

export const UpdateConnection = named(
  'UpdateConnection',
  {
    name: Type.Optional(NameInput),
    provider: Type.Optional(oneOf(providerIds)),
    url: Type.Optional(Type.String({ minLength: 1, maxLength: 2000 })),
    ...place,
    ...secret,
  },
  'Another host or provider needs the secret again: the stored one was given for the old one.',
);

export const ReplaceSecret = named(
  'ReplaceSecret',
  secret,
  'A new secret for the same registry. Without a username the stored one is kept.',
);

export const ConnectionTest = named(
  'ConnectionTest',
  {
    id: Id,
    cause: oneOf(['asked', 'changed', 'scheduled', 'replacement'], {
      description: 'changed: it was made or changed; replacement: it was the new secret that was tried.',
    }),
    passed: Type.Boolean(),
    failedStep: nullable(Type.String()),
    message: Type.String({ description: 'One sentence for people.' }),
    steps: Type.Array(
      Type.Object(
        {
          step: oneOf(['reach', 'tls', 'registry', 'challenge', 'token', 'namespace']),
          result: oneOf(['passed', 'failed', 'skipped']),
          message: Type.String(),
        },
        { additionalProperties: false },
      ),
    ),
    latencyMs: Type.Integer({ minimum: 0, description: 'Milliseconds from the beginning to the last answer.' }),
    rateLimit: Type.Unsafe<{ limit: number; remaining: number; windowSeconds: number } | null>({
      type: ['object', 'null'],
      properties: {
        limit: { type: 'integer' },
        remaining: { type: 'integer' },
        windowSeconds: { type: 'integer' },
      },
      required: ['limit', 'remaining', 'windowSeconds'],
      additionalProperties: false,
      description: 'Pulls that the registry grants, where it says so.',
    }),
    credentialsExpireAt: nullable({ ...Time, description: 'When the stored secret ends, where the registry tells.' }),
    testedAt: Time,
  },
  'Whether the registry was reached and took what is stored.',
);

export const ReplacedSecret = named('ReplacedSecret', {
  replaced: Type.Boolean({ description: 'False: it failed its test and waits, and the stored one goes on.' }),
  username: Type.String({ description: 'The one that goes with the new secret.' }),
  test: refer(ConnectionTest),
  connection: refer(Connection),
});

export const WaitingReplacement = named(
  'WaitingReplacement',
  {
    username: Type.String({ description: 'The one that goes with it; empty where it has its own.' }),
    lastTest: lastTest('Why it waits; null where its test did not come to an end.'),
  },
  'A new secret that takes the place of the stored one once it passes. It is shown nowhere.',
);

export const RevealedConnection = named(
  'RevealedConnection',
  {
    id: Id,
    host: Type.String(),
    username: Type.String(),
    password: nullable(Type.String()),
    keyFile: nullable(Type.String({ description: 'The text of the key file.' })),
    auths: Type.Unsafe<Record<string, { username: string; password: string }> | null>({
      type: ['object', 'null'],
      additionalProperties: {
        type: 'object',
        properties: { username: { type: 'string' }, password: { type: 'string' } },
        required: ['username', 'password'],
        additionalProperties: false,
      },
    }),
  },
  'What opens it. At most one of the three is not null.',
);

export const ConnectionUses = named('ConnectionUses', {
  projects: Type.Unsafe<{ id: string; name: string; slug: string; createdAt: string }[] | null>({
    type: ['array', 'null'],
    items: refer(Project),
    description: 'Those that may use it; null: all of the team.',
  }),
  uses: Type.Array(
    Type.Object(
      {
        projectId: Id,
        actorId: Type.String(),
        actorName: Type.String({ description: 'Which key or token.' }),
        times: Type.Integer({ minimum: 1 }),
        lastUsedAt: Time,
      },
      { additionalProperties: false },
    ),
    { description: 'Who got it in a pull secret, the latest first, at most 100.' },
  ),
});

export const ConnectionList = listOf(Connection);
export const ConnectionQuery = Type.Object(
  {
    ...pageQuery,
    ...searchQuery,
    sort: Type.Optional(oneOf(['name', '-name', 'createdAt', '-createdAt'], { description: 'Oldest first, else.' })),
    provider: Type.Optional(oneOf(providerIds)),
    status: Type.Optional(oneOf(statuses)),
    project: Type.Optional(
      Type.String({ maxLength: 255, description: 'Only what this project may use: its id or slug.' }),
    ),
  },
  { additionalProperties: false },
);
export const ConnectionTestList = listOf(ConnectionTest);
export const ConnectionTestQuery = Type.Object(pageQuery, { additionalProperties: false });
