import type { FastifyInstance } from 'fastify';
import type { Platform } from '#core/platform.ts';

export function bindImages(_app: FastifyInstance, _platform: Platform): void {}

export function bindImagesV2(_app: FastifyInstance, _platform: Platform): void {}
