import type { Static } from 'typebox';
import { ConnectionTest, ConnectionTestList, ConnectionTestQuery } from '#contract/connections.ts';
import { refer } from '#contract/values.ts';
import type { ConnectionTest as CoreTest } from '#core/connection-test-rows.ts';
import { listConnectionTests, testConnection } from '#core/connection-tests.ts';
import type { Platform } from '#core/platform.ts';
import { actorOf } from '#http/sign-in.ts';
import { about, ConnectionPath, type NativeApp, refusals } from './endpoint.ts';
import { fromPageQuery, toList, toTime, toTimeOrNull } from './wire.ts';

export function bindConnectionTests(app: NativeApp, platform: Platform): void {
  app.post(
    '/connections/:connection/test',
    {
      schema: {
        ...about('Connections', 'testConnection', 'connections:test', 'Try what a pull would do, now.'),
        params: ConnectionPath,
        response: { 200: refer(ConnectionTest), ...refusals(404, 409) },
      },
    },
    async (request) => toWireTest(await testConnection(platform, actorOf(request), request.params)),
  );

  app.get(
    '/connections/:connection/tests',
    {
      schema: {
        ...about('Connections', 'listConnectionTests', 'connections:read', 'List its tests, newest first.'),
        params: ConnectionPath,
        querystring: ConnectionTestQuery,
        response: { 200: refer(ConnectionTestList), ...refusals(404) },
      },
    },
    async (request) => {
      const input = { ...fromPageQuery(request.query), ...request.params };
      return toList(await listConnectionTests(platform, actorOf(request), input), toWireTest);
    },
  );
}

export function toWireTest(test: CoreTest): Static<typeof ConnectionTest> {
  return {
    id: test.id,
    cause: test.cause,
    passed: test.passed,
    failedStep: test.failedStep,
    message: test.message,
    steps: test.steps.map(({ step, result, message }) => ({ step, result, message })),
    latencyMs: test.latencyMs,
    rateLimit: test.rateLimit,
    credentialsExpireAt: toTimeOrNull(test.credentialsExpireAt),
    testedAt: toTime(test.testedAt),
  };
}
