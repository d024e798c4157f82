/**
 * Loggers without a file: one that keeps lines in memory for tests and the simulator, one that
 * keeps nothing. The node's logger, which writes to disk, is real-logger.ts.
 */
import type { Clock, Logger, LogLevel } from './runtime.js';

export type LogFields = Readonly<Record<string, unknown>>;

export interface LogLine {
  readonly wallMs: number;
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: LogFields;
}

/** Older lines are dropped beyond it: a long simulation must not fill the memory. */
const LINES_MAX = 10_000;

/** A logger whose lines can be looked at. */
export interface MemoryLogger extends Logger {
  readonly lines: readonly LogLine[];
}

export function createMemoryLogger(
  clock?: Pick<Clock, 'wall'>,
  linesMax = LINES_MAX,
): MemoryLogger {
  const lines: LogLine[] = [];
  const write = (level: LogLevel, event: string, fields: LogFields) => {
    lines.push({ wallMs: clock?.wall() ?? 0, level, event, fields });
    if (lines.length > linesMax) lines.splice(0, lines.length - linesMax);
  };
  return { ...loggerOf(write, {}), lines };
}

export function createSilentLogger(): Logger {
  return loggerOf(() => undefined, {});
}

/** A logger over one function; children add their fields. */
export function loggerOf(
  write: (level: LogLevel, event: string, fields: LogFields) => void,
  base: LogFields,
): Logger {
  const at = (level: LogLevel) => (event: string, fields?: LogFields) => {
    write(level, event, fields === undefined ? base : { ...base, ...fields });
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => loggerOf(write, { ...base, ...fields }),
  };
}
