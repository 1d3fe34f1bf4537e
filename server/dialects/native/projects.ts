import type { Static } from 'typebox';
import {
  CreatedProject,
  CreateProject,
  DeleteProjectQuery,
  Project,
  ProjectList,
  ProjectQuery,
  UpdateProject,
} from '#contract/projects.ts';
import { refer } from '#contract/values.ts';
import type { Platform } from '#core/platform.ts';
import { deleteProject } from '#core/project-deletion.ts';
import { type Project as CoreProject, createProject, getProject, listProjects, updateProject } from '#core/projects.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, IfMatch, type NativeApp, NoContent, ProjectPath, refusals } from './endpoint.ts';
import { toWireRegistry } from './registries.ts';
import { fromPageQuery, fromSort, requireMatch, toETag, toList, toTime } from './wire.ts';

export function bindProjects(app: NativeApp, platform: Platform): void {
  app.post(
    '/projects',
    {
      schema: {
        ...about('Projects', 'createProject', 'projects:write', 'Make a project with its managed registries.'),
        body: refer(CreateProject),
        response: { 201: refer(CreatedProject), ...refusals(409) },
      },
    },
    async (request, reply) => {
      const { project, registries } = await createProject(platform, actorOf(request), request.body);
      reply.code(201).header('etag', etagOf(project));
      return { ...toWireProject(project), registries: registries.map((one) => toWireRegistry(platform, one)) };
    },
  );

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

  bindProject(app, platform);
}

function bindProject(app: NativeApp, platform: Platform): void {
  app.get(
    '/projects/:project',
    {
      schema: {
        ...about('Projects', 'getProject', 'projects:read', 'Show a project.'),
        params: ProjectPath,
        response: { 200: refer(Project), ...refusals(404) },
      },
    },
    async (request, reply) => {
      const project = await getProject(platform, actorOf(request), request.params.project);
      reply.header('etag', etagOf(project));
      return toWireProject(project);
    },
  );

  app.patch(
    '/projects/:project',
    {
      schema: {
        ...about('Projects', 'updateProject', 'projects:write', 'Rename a project.'),
        params: ProjectPath,
        headers: IfMatch,
        body: refer(UpdateProject),
        response: { 200: refer(Project), ...refusals(404, 412) },
      },
    },
    async (request, reply) => {
      const project = await updateProject(platform, actorOf(request), {
        ...request.body,
        ...request.params,
        expect: (current) => requireMatch(request.headers['if-match'], etagOf(current)),
      });
      reply.header('etag', etagOf(project));
      return toWireProject(project);
    },
  );

  app.delete(
    '/projects/:project',
    {
      schema: {
        ...about('Projects', 'deleteProject', 'projects:write', 'Delete a project with its registries.'),
        params: ProjectPath,
        querystring: DeleteProjectQuery,
        response: { 204: NoContent, ...refusals(404, 409) },
      },
    },
    async (request, reply) => {
      await deleteProject(platform, actorOf(request), { ...request.params, force: request.query.force });
      return reply.code(204).send(null);
    },
  );
}

const etagOf = ({ id, name }: CoreProject) => toETag([id, name]);

export function toWireProject(project: CoreProject): Static<typeof Project> {
  return { id: project.id, name: project.name, slug: project.slug, createdAt: toTime(project.createdAt) };
}
