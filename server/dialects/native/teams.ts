import type { Static } from 'typebox';
import { CreatedTeam, CreateTeam, Team } from '#contract/teams.ts';
import { refer } from '#contract/values.ts';
import { Failure } from '#core/failure.ts';
import type { Platform } from '#core/platform.ts';
import { type Team as CoreTeam, createTeam, getTeam } from '#core/teams.ts';
import { actorOf } from '#http/sign-in.ts';
import { toWireApiKey } from './api-keys.ts';
import { about, type NativeApp, refusals, TeamPath } from './endpoint.ts';
import { toWireProject } from './projects.ts';
import { toWireRegistry } from './registries.ts';
import { toTime } from './wire.ts';

export function bindTeams(app: NativeApp, platform: Platform): void {
  app.post(
    '/teams',
    {
      schema: {
        ...about('Teams', 'createTeam', 'teams:write', 'Make a team with its first project, registries and API key.'),
        body: refer(CreateTeam),
        response: { 201: refer(CreatedTeam), ...refusals(409) },
      },
    },
    async (request, reply) => {
      const made = await createTeam(platform, actorOf(request), request.body);
      reply.code(201);
      return {
        team: toWire(made.team),
        project: toWireProject(made.project),
        registries: made.registries.map((registry) => toWireRegistry(platform, registry)),
        apiKey: { ...toWireApiKey(made.key), secret: made.secret },
      };
    },
  );

  app.get(
    '/teams/:team',
    {
      schema: {
        ...about('Teams', 'getTeam', 'projects:read', 'Show the team of this API key.'),
        params: TeamPath,
        response: { 200: refer(Team), ...refusals(404) },
      },
    },
    async (request) => {
      const team = await getTeam(platform, actorOf(request));
      const asked = request.params.team;
      if (asked !== team.id && asked !== team.slug && asked !== 'current') {
        throw new Failure('not_found', 'This API key belongs to another team, or there is no such team.', {
          about: 'team',
        });
      }
      return toWire(team);
    },
  );
}

function toWire(team: CoreTeam): Static<typeof Team> {
  return { id: team.id, name: team.name, slug: team.slug, createdAt: toTime(team.createdAt) };
}
