import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { type Environment, readConfig } from '#server/config.ts';
import { toUrlHost } from '#server/config-values.ts';
import { printFaults } from './config.ts';

/** Longer than the server itself waits for its database and its store. */
const timeoutMs = 4000;

/** `lading health`: what `/readyz` of the server with this environment says. Answers the exit code. */
export async function askHealth(environment: Environment, { print = console.log } = {}): Promise<number> {
  const answer = readConfig(environment);
  if ('faults' in answer) return printFaults(answer.faults);
  const { listen, tlsCert } = answer.config;
  const url = `${tlsCert === undefined ? 'http' : 'https'}://${toUrlHost(listen)}/readyz`;
  try {
    const { status, body } = await get(url);
    print(body);
    return status === 200 ? 0 : 1;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    print(`${url} does not answer: ${message || code}`);
    return 1;
  }
}

/** The certificate is for the name that clients use, not for this machine's. Nothing is sent that others might want. */
function get(url: string): Promise<{ status: number | undefined; body: string }> {
  const request = url.startsWith('https:') ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const call = request(url, { agent: false, rejectUnauthorized: false, signal }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }));
    });
    call.once('error', reject);
    call.end();
  });
}
