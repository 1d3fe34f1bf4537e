import type { FastifyInstance } from 'fastify';
import type { Draining } from './draining.ts';

/** Something that must work for requests to work. Throws if it does not. */
export type HealthCheck = () => Promise<void>;
export type HealthChecks = Readonly<Record<string, HealthCheck>>;

const cacheMs = 1000;
const timeoutMs = 3000;

/**
 * `/healthz`: the process answers. `/readyz`: the database and the store do too, asked at most once a second however
 * many ask us, and it is not about to end.
 */
export function bindHealth(app: FastifyInstance, checks: HealthChecks, draining: Draining): void {
  let last: { at: number; answer: Promise<Readiness> } | undefined;
  let isClosing = false;
  app.addHook('preClose', async () => {
    isClosing = true;
  });

  const config = { isProbe: true };
  app.get('/healthz', { config }, async (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok' }),
  );
  app.get('/readyz', { config }, async (_request, reply) => {
    const now = performance.now();
    if (!last || now - last.at > cacheMs) last = { at: now, answer: askAll(checks) };
    const checked = await last.answer;
    const isDraining = isClosing || draining.hasBegun;
    const isReady = !isDraining && Object.values(checked).every((state) => state === 'ok');
    return reply
      .code(isReady ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ status: isDraining ? 'draining' : isReady ? 'ok' : 'unavailable', checks: checked });
  });
}

type Readiness = Readonly<Record<string, 'ok' | 'failed' | 'no answer'>>;

async function askAll(checks: HealthChecks): Promise<Readiness> {
  const answers = Object.entries(checks).map(async ([name, check]) => [name, await ask(check)] as const);
  return Object.fromEntries(await Promise.all(answers));
}

/** What went wrong is in the log (`told-checks.ts`); strangers who ask learn only that it did. */
async function ask(check: HealthCheck): Promise<Readiness[string]> {
  const { promise: late, resolve } = Promise.withResolvers<'no answer'>();
  const timer = setTimeout(resolve, timeoutMs, 'no answer');
  try {
    return await Promise.race([
      check().then(
        () => 'ok' as const,
        () => 'failed' as const,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
