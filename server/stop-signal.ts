/**
 * Resolves at the first SIGTERM or SIGINT; a later one ends the process there and then. What comes within a second of the
 * first is the same wish: Ctrl-C under `npm start` reaches us twice, from the terminal and from npm.
 */
export function awaitStopSignal(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let firstAt: number | undefined;
  const receive = (signal: NodeJS.Signals) => {
    firstAt ??= performance.now();
    if (performance.now() - firstAt > 1000) process.exit(1);
    resolve(signal);
  };
  process.on('SIGTERM', receive).on('SIGINT', receive);
  return promise;
}
