import type { Static } from 'typebox';
import { Project, ProjectList, ProjectQuery } from '#contract/projects.ts';
import { refer } from '#contract/values.ts';
import type { Platform } from '#core/platform.ts';
import { type Project as CoreProject, getProject, listProjects } from '#core/projects.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, type NativeApp, ProjectPath, refusals } from './endpoint.ts';
import { fromPageQuery, fromSort, toList, toTime } from './wire.ts';

export function bindProjects(app: NativeApp, platform: Platform): void {
  app.get(
    '/projects',
    {
      schema: {
        ...about(
          'Projects',
          'listProjects',
          'projects:read',
          'List the projects, oldest first unless asked otherwise.',
        ),
        querystring: ProjectQuery,
        response: { 200: refer(ProjectList), ...refusals() },
      },
    },
    async (request) => {
      const { search, sort } = request.query;
      const input = { ...fromPageQuery(request.query), search, sort: fromSort(sort) };
      return toList(await listProjects(platform, actorOf(request), input), toWireProject);
    },
  );

  app.get(
    '/projects/:project',
    {
      schema: {
        ...about('Projects', 'getProject', 'projects:read', 'Show a project.'),
        params: ProjectPath,
        response: { 200: refer(Project), ...refusals(404) },
      },
    },
    async (request) => toWireProject(await getProject(platform, actorOf(request), request.params.project)),
  );
}

export function toWireProject(project: CoreProject): Static<typeof Project> {
  return { id: project.id, name: project.name, slug: project.slug, createdAt: toTime(project.createdAt) };
}
