import type { FastifyInstance } from 'fastify';
import type { Platform } from '#core/platform.ts';

export function bindRepositories(_app: FastifyInstance, _platform: Platform): void {}

export function bindRepositoriesV2(_app: FastifyInstance, _platform: Platform): void {}
