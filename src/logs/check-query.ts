/** Refuses a pattern before anything is started for it. */
import { IdunnoError } from '../base/index.js';
import { PatternError } from './pattern-error.js';
import { parsePattern } from './posix-parser.js';
import { compileProgram } from './program.js';
import type { LogQuery } from './types.js';

/** Throws BAD_ARGUMENT. */
export function checkQuery(query: LogQuery): void {
  try {
    compileProgram(parsePattern(query.pattern, query));
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new IdunnoError('BAD_ARGUMENT', error.message, { pattern: query.pattern });
  }
}
