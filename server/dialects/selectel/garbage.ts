import type { FastifyInstance } from 'fastify';
import type { Platform } from '#core/platform.ts';

export function bindGarbage(_app: FastifyInstance, _platform: Platform): void {}
