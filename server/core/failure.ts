/** Why a request was refused. Each surface maps every reason to a status and a body; see its `errors.ts`. */
export type Reason =
  | 'invalid'
  | 'unauthenticated'
  | 'denied'
  | 'not_found'
  | 'conflict'
  | 'in_use'
  | 'limit'
  | 'too_large'
  | 'too_slow'
  | 'range'
  | 'precondition'
  | 'unsupported'
  | 'throttled'
  | 'unavailable';

/** The thing a refusal is about, in the words of `docs/architecture.md`. */
export type Subject =
  | 'name'
  | 'registry'
  | 'repository'
  | 'manifest'
  | 'manifest_blob'
  | 'blob'
  | 'digest'
  | 'size'
  | 'tag'
  | 'upload'
  | 'team'
  | 'project'
  | 'token'
  | 'key'
  | 'cluster'
  | 'connection'
  | 'robot'
  | 'operation'
  | 'page'
  | 'header'
  | 'scope';

export type FailureDetail = {
  about?: Subject;
  /** Digests that a manifest names and the repository does not hold. */
  missing?: readonly string[];
  /** The fields at fault, by JSON pointer, for forms and API clients. */
  fields?: Readonly<Record<string, string>>;
  /** The access token lacks the action: the client may come back with a wider one. */
  isScopeTooSmall?: boolean;
  /** A secret was presented and refused, as opposed to none presented. */
  isBadToken?: boolean;
  retryAfterSeconds?: number;
  /** The same with what only the operator may know: where it is, and which setting to check. */
  forOperator?: string;
  /** Bytes of an upload that are safely kept, for a client that must resume. */
  received?: number;
  used?: number;
  limit?: number;
  requested?: number;
};

/** An expected refusal. `message` is a sentence for the person who must act; anything else thrown is a bug. */
export class Failure extends Error {
  readonly reason: Reason;
  readonly detail: FailureDetail;

  constructor(reason: Reason, message: string, detail: FailureDetail = {}) {
    super(message);
    this.name = 'Failure';
    this.reason = reason;
    this.detail = detail;
  }
}

/** For the log and the command line; clients get `message`. */
export function sentenceForOperator(error: Error): string {
  return (error instanceof Failure && error.detail.forOperator) || error.message;
}
