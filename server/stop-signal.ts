/** Resolves at the first SIGTERM or SIGINT; the second ends the process there and then. */
export function awaitStopSignal(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let isStopping = false;
  const receive = (signal: NodeJS.Signals) => {
    if (isStopping) process.exit(1);
    isStopping = true;
    resolve(signal);
  };
  process.on('SIGTERM', receive).on('SIGINT', receive);
  return promise;
}
