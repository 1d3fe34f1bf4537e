import type { FastifyInstance } from 'fastify';
import type { Platform } from '#core/platform.ts';

export function bindTokensV2(_app: FastifyInstance, _platform: Platform): void {}
