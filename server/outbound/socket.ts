import { connect, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { OutboundFault, OutboundStep, OutboundTls } from '#core/outbound.ts';
import { type AllowedUpstream, isAddress, mayReach, type Target } from './addresses.ts';
import type { Resolve } from './names.ts';

export type Guard = { allowed: readonly AllowedUpstream[]; resolve: Resolve };

/** Where a request is, and what ended it where that is known better than by the error. */
export type Trace = { step: OutboundStep; fault?: OutboundFault };

type SocketRequest = { target: Target; tls: OutboundTls; guard: Guard; trace: Trace; signal: AbortSignal };

/**
 * Resolves the name, judges the addresses, and connects to one of those and no other: a name that resolves differently a
 * moment later, as in DNS rebinding, is never asked a second time.
 */
export async function openSocket(request: SocketRequest): Promise<Socket> {
  const { target, tls, trace, signal } = request;
  const addresses = await judgedAddresses(request);
  signal.throwIfAborted();
  trace.step = 'connect';
  const socket = connect({ host: target.hostname, port: target.port, lookup: answering(addresses), signal });
  await opened(socket, 'connect');
  socket.setNoDelay(true);
  if (!target.isTls) return socket;
  trace.step = 'tls';
  const secured = connectTls({
    socket,
    // Whom the certificate must name; an address is no SNI.
    ...(isAddress(target.hostname) ? { host: target.hostname } : { servername: target.hostname }),
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    // Whoever pins an intermediate or the server's own certificate trusts that and not its issuer.
    ...(tls.caPem !== undefined && { ca: tls.caPem, allowPartialTrustChain: true }),
    ...(tls.certificatePem !== undefined && { cert: tls.certificatePem, key: tls.keyPem }),
  });
  await opened(secured, 'secureConnect');
  return secured;
}

async function judgedAddresses({ target, guard, trace, signal }: SocketRequest) {
  const { hostname } = target;
  if (isAddress(hostname)) {
    if (mayReach(guard.allowed, target, hostname)) return [];
    return refuse(trace, 'address', `${hostname} may not be reached from here. ${allowHint}`);
  }
  trace.step = 'dns';
  const found = await unless(signal, guard.resolve(hostname, signal)).catch(() => []);
  signal.throwIfAborted();
  const allowed = found.filter(({ address }) => mayReach(guard.allowed, target, address));
  if (allowed.length > 0) return allowed;
  // One sentence for both: else anybody could try out which names there are inside.
  const message = `No address was found for ${hostname} that may be reached from here. Check the spelling. If it is right and the server is not public, an operator can allow it in LADING_UPSTREAM_ALLOW.`;
  return refuse(trace, 'dns', message);
}

const allowHint = 'An operator can allow hosts and addresses in LADING_UPSTREAM_ALLOW.';

function refuse(trace: Trace, failedAt: OutboundStep, message: string): never {
  trace.fault = { failedAt, message };
  throw new Error(message);
}

/** Node asks for one address or for all, as it likes to try them. */
function answering(addresses: readonly { address: string; family: number }[]): LookupFunction {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    if (!first) callback(new Error('an address is not looked up'), '', 0);
    else if (options.all) callback(null, [...addresses]);
    else callback(null, first.address, first.family);
  };
}

async function opened(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once(event, resolve);
  // For good: an error that nobody listens for ends the process, and the deadline may end the socket at any time.
  socket.on('error', reject);
  socket.once('close', () => reject(new Error('the connection was closed')));
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** The promise, or the reason why nobody waits for it any longer. */
export function unless<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', abort));
}
