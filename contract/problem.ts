import { Type } from 'typebox';
import { named } from './values.ts';

/** RFC 9457. `type` is `/problems/<reason>`; the reasons are listed in `docs/api.md`. */
export const Problem = named(
  'Problem',
  {
    type: Type.String({
      description: '/problems/<reason>; compare this, not the texts.',
      examples: ['/problems/limit'],
    }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What was refused, why, and what to do next.' }),
    requestId: Type.String({ description: 'The id of this request in the server log.' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.String({ description: 'JSON pointer into the body, or the name of the parameter.' }),
          detail: Type.String(),
        }),
        { description: 'The fields at fault.' },
      ),
    ),
    used: Type.Optional(Type.Integer({ description: 'Of a limit: what is used.' })),
    limit: Type.Optional(Type.Integer({ description: 'Of a limit: the limit.' })),
    requested: Type.Optional(Type.Integer({ description: 'Of a limit: what was asked for.' })),
  },
  'A refusal (RFC 9457).',
);
