/**
 * Operating errors: a code for programs, a sentence for people, the effect on the cluster's state,
 * and whether the same call may be tried again. They travel over the wire as they are. Bugs are
 * assertions (assert.ts); ordinary negative answers are return values.
 */

/** What the failed call did to the cluster. `unknown`: it may still take effect, once. */
export type Effect = 'unchanged' | 'unknown' | 'partly-done';

interface CodeFacts {
  readonly effect: Effect;
  /** May the same call be tried again without a change by the caller? */
  readonly retry: boolean;
  /** Exit code of the command line: see docs/errors.md. */
  readonly exit: 1 | 2 | 3 | 4 | 5 | 6 | 70 | 130;
}

function facts(effect: Effect, retry: boolean, exit: CodeFacts['exit']): CodeFacts {
  return { effect, retry, exit };
}

/** Every code there is. A test compares this list with docs/errors.md. */
export const ERROR_CODES = {
  // usage and config
  BAD_NAME: facts('unchanged', false, 2),
  BAD_ARGUMENT: facts('unchanged', false, 2),
  BAD_CONFIG: facts('unchanged', false, 2),
  BAD_MODEL: facts('unchanged', false, 2),
  USAGE: facts('unchanged', false, 2),
  // things that are not there
  FILE_NOT_FOUND: facts('unchanged', false, 3),
  VERSION_NOT_FOUND: facts('unchanged', false, 3),
  LOCAL_FILE_NOT_FOUND: facts('unchanged', false, 3),
  MODEL_NOT_FOUND: facts('unchanged', false, 3),
  JOB_NOT_FOUND: facts('unchanged', false, 3),
  NODE_NOT_FOUND: facts('unchanged', false, 3),
  SETTING_NOT_FOUND: facts('unchanged', false, 3),
  // refusals of the state machine
  MODEL_UNDEPLOYED: facts('unchanged', false, 1),
  JOB_STATE: facts('unchanged', false, 1),
  NO_INPUT: facts('unchanged', false, 1),
  INTENT_CLOSED: facts('unchanged', false, 1),
  HOLDER_DOWN: facts('unchanged', true, 1),
  LEASE_STALE: facts('unchanged', false, 1),
  CONFLICT: facts('unchanged', false, 1),
  // refusals of a change of the coordinators
  CHANGE_PENDING: facts('unchanged', false, 1),
  WOULD_LOSE_QUORUM: facts('unchanged', false, 1),
  // the cluster
  NOT_LEADER: facts('unchanged', true, 4),
  NO_LEADER: facts('unchanged', true, 4),
  NOT_READY: facts('unchanged', true, 4),
  UNAVAILABLE: facts('unchanged', true, 4),
  BUSY: facts('unchanged', true, 4),
  NODE_LEFT: facts('unchanged', false, 1),
  WRONG_CLUSTER: facts('unchanged', false, 2),
  /** Timed out; a retry under the same session number is safe. */
  UNKNOWN_OUTCOME: facts('unknown', true, 5),
  TIMEOUT: facts('unknown', true, 5),
  PARTLY_DONE: facts('partly-done', true, 6),
  ABORTED: facts('unknown', true, 130),
  // storage and disk
  DISK_FULL: facts('unchanged', true, 1),
  DISK_ERROR: facts('unchanged', true, 1),
  CORRUPT: facts('unchanged', true, 1),
  NOT_ENOUGH_NODES: facts('unchanged', true, 1),
  FOLDER_LOCKED: facts('unchanged', false, 2),
  FOREIGN_DATA: facts('unchanged', false, 2),
  PORT_TAKEN: facts('unchanged', false, 2),
  // network
  CONNECTION_LOST: facts('unknown', true, 4),
  PROTOCOL: facts('unchanged', false, 1),
  NO_SUCH_METHOD: facts('unchanged', false, 1),
  // models and images
  MODEL_LOAD_FAILED: facts('unchanged', false, 1),
  MODEL_CRASHED: facts('unchanged', true, 1),
  BAD_IMAGE: facts('unchanged', false, 1),
  /** A node ended itself: its log, state or membership failed. Others go on. */
  NODE_FAILED: facts('unknown', false, 70),
  /** A bug: please report. */
  INTERNAL: facts('unknown', false, 70),
} as const satisfies Record<string, CodeFacts>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** JSON-safe details for programs: names, counts, the hint of a leader. */
export type ErrorData = Readonly<Record<string, string | number | boolean | null>>;

export class IdunnoError extends Error {
  readonly code: ErrorCode;
  readonly data: ErrorData;

  constructor(code: ErrorCode, message: string, data: ErrorData = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'IdunnoError';
    this.code = code;
    this.data = data;
  }

  get effect(): Effect {
    return ERROR_CODES[this.code].effect;
  }

  get isRetryable(): boolean {
    return ERROR_CODES[this.code].retry;
  }

  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }

  /** [code, message, data]: the form on the wire. */
  toWire(): [string, string, ErrorData] {
    return [this.code, this.message, this.data];
  }

  static fromWire(wire: unknown): IdunnoError {
    if (!Array.isArray(wire)) return new IdunnoError('PROTOCOL', 'an error without a code arrived');
    const [code, message, data] = wire as unknown[];
    const known = typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
    return new IdunnoError(
      known ? (code as ErrorCode) : 'PROTOCOL',
      typeof message === 'string' ? message : String(code),
      typeof data === 'object' && data !== null ? (data as ErrorData) : {},
    );
  }
}

/** True for an IdunnoError, of that code where one is named. */
export function isIdunnoError(error: unknown, code?: ErrorCode): error is IdunnoError {
  return error instanceof IdunnoError && (code === undefined || error.code === code);
}

/** Any thrown value as an IdunnoError; what was not one becomes INTERNAL with its text kept. */
export function asIdunnoError(error: unknown): IdunnoError {
  if (error instanceof IdunnoError) return error;
  if (error instanceof Error) {
    return new IdunnoError('INTERNAL', error.message || error.name, {}, error);
  }
  return new IdunnoError('INTERNAL', String(error));
}
