import { styleText } from 'node:util';
import { type Logger, pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What must never be written, wherever a log line might pick it up. The net, not the mechanism. */
const secretNames = /^(?:authorization|cookie|set-cookie|x-auth-token|secret|password|token)$/i;

/** By hand: the library's own redaction took as long as all the rest of a line, and every request has one. */
function censor(fields: object, depth = 3): object {
  const entries = Object.entries(fields).map(([name, value]) => {
    if (secretNames.test(name)) return [name, '[redacted]'];
    const isNested = typeof value === 'object' && value !== null && !(value instanceof Error) && depth > 0;
    return [name, isNested ? (Array.isArray(value) ? value : censor(value, depth - 1)) : value];
  });
  return Object.fromEntries(entries);
}

/** JSON lines for machines; one short line an event for people at a terminal. */
export function openLog({ level, stream = process.stdout }: { level: LogLevel; stream?: LogStream }): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (fields) => censor(fields) as Record<string, unknown> },
    },
    stream.isTTY ? { write: (line: string) => stream.write(toShortLine(line)) } : stream,
  );
}

type LogStream = { isTTY?: boolean; write(text: string): unknown };

const colours = { debug: 'gray', info: 'green', warn: 'yellow', error: 'red' } as const;

/** `12:34:56 info  GET /v2/ status=200 ms=1`. */
export function toShortLine(json: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const colour = colours[level as LogLevel] ?? 'red';
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${toShortValue(value)}`);
  const parts = [
    String(time).slice(11, 19),
    styleText(colour, String(level).padEnd(5)),
    toOneLine(String(msg)),
    ...rest,
  ];
  const { stack, detail } = (err ?? {}) as { stack?: string; detail?: { forOperator?: string } };
  return [parts.join(' '), detail?.forOperator, stack, ''].filter((line) => line !== undefined).join('\n');
}

function toShortValue(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return /^[\x21-\x7e]*$/.test(text) ? text : toOneLine(JSON.stringify(text));
}

/** What clients send must not move the cursor or colour the terminal. */
function toOneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, '\u{fffd}');
}
