import type { FastifyRequest } from 'fastify';

/** What a surface knows of a request and the line in the log should say. */
export type RequestNotes = {
  /** Kind and name, such as `key deploy`; never a secret. */
  actor?: string;
  /** `<registry>/<repository>`, as asked for. */
  repository?: string;
  /** Of a fault that clients are told little of. */
  fault?: string;
};

const notes = new WeakMap<FastifyRequest, RequestNotes>();

export function noteRequest(request: FastifyRequest, more: RequestNotes): void {
  notes.set(request, { ...notes.get(request), ...more });
}

export function notesOf(request: FastifyRequest): RequestNotes {
  return notes.get(request) ?? {};
}
