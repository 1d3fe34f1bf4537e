import { ReplacedSecret, ReplaceSecret, RevealedConnection, WaitingReplacement } from '#contract/connections.ts';
import { refer } from '#contract/values.ts';
import { getReplacement } from '#core/connection-last-tests.ts';
import { discardReplacement, stageReplacement } from '#core/connection-replacements.ts';
import { revealConnection } from '#core/connections.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { toWireTest } from './connection-tests.ts';
import { toLastTest, withLastTest } from './connections.ts';
import { about, ConnectionPath, type NativeApp, NoContent, refusals } from './endpoint.ts';

export function bindConnectionSecrets(app: NativeApp, platform: Platform): void {
  app.post(
    '/connections/:connection/reveal',
    {
      schema: {
        ...about(
          'Connections',
          'revealConnection',
          'connections:reveal',
          'Show what opens it; the audit log says who.',
        ),
        params: ConnectionPath,
        response: { 200: refer(RevealedConnection), ...refusals(404) },
      },
    },
    async (request) => {
      const { connection, username, secret } = await revealConnection(
        platform,
        actorOf(request),
        request.params.connection,
      );
      return {
        id: connection.id,
        host: connection.host,
        username,
        password: secret?.kind === 'password' ? secret.password : null,
        keyFile: secret?.kind === 'key_file' ? secret.keyFile : null,
        auths: secret?.kind === 'auths' ? secret.auths : null,
      };
    },
  );

  bindReplacement(app, platform);
}

function bindReplacement(app: NativeApp, platform: Platform): void {
  app.put(
    '/connections/:connection/replacement',
    {
      schema: {
        ...about(
          'Connections',
          'replaceConnectionSecret',
          'connections:update',
          'Test a new secret, and use it from now on if it passes.',
        ),
        params: ConnectionPath,
        body: refer(ReplaceSecret),
        response: { 200: refer(ReplacedSecret), ...refusals(404, 409) },
      },
    },
    async (request) => {
      const input = { ...request.body, ...request.params };
      const { connection, username, test } = await stageReplacement(platform, actorOf(request), input);
      const shown = await withLastTest(platform, connection);
      return { replaced: test.passed, username, test: toWireTest(test), connection: shown };
    },
  );

  app.get(
    '/connections/:connection/replacement',
    {
      schema: {
        ...about('Connections', 'getReplacement', 'connections:read', 'Show which new secret waits, and why.'),
        params: ConnectionPath,
        response: { 200: refer(WaitingReplacement), ...refusals(404) },
      },
    },
    async (request) => {
      const waiting = await getReplacement(platform, actorOf(request), request.params.connection);
      return { username: waiting.username, lastTest: toLastTest(waiting.lastTest) };
    },
  );

  app.delete(
    '/connections/:connection/replacement',
    {
      schema: {
        ...about(
          'Connections',
          'discardReplacement',
          'connections:update',
          'Forget a new secret that waits; the stored one stays.',
        ),
        params: ConnectionPath,
        response: { 204: NoContent, ...refusals(404) },
      },
    },
    async (request, reply) => {
      await discardReplacement(platform, actorOf(request), request.params);
      return reply.code(204).send(null);
    },
  );
}
