import SerializerSelector from '@fastify/fast-json-stringify-compiler';
import type { FastifySerializerCompiler } from 'fastify';

/**
 * Fastify's own serializers, each made when its first answer is. All at once they are half a second of every start, and
 * of every test that builds the app.
 */
export function compileSerializersLazily(components: Record<string, unknown>): FastifySerializerCompiler<unknown> {
  const compile = SerializerSelector()(components);
  return ({ method, url, httpStatus = '', schema }) => {
    let serialize: ((answer: unknown) => string) | undefined;
    return (answer) => {
      serialize ??= compile({ method, url, httpStatus, schema });
      return serialize(answer);
    };
  };
}
