/**
 * Every bound of this module, with its reason and what happens at it.
 */

/** JSON lines of one task that may ride in the completion; above it the worker writes a file. */
export const INLINE_TASK_BYTES_MAX = 16 * 1024;

/** Result bytes in the tables over all jobs. At it completions are answered `busy` and kept. */
export const INLINE_TOTAL_BYTES_MAX = 64 * 1024 * 1024;

/** From here on no task is leased, so that what is being computed still fits below the bound. */
export const INLINE_GRANT_BYTES_MAX = 48 * 1024 * 1024;

/** Above it nobody reads the tables anyway. Queries of one job; BAD_ARGUMENT. */
export const QUERIES_MAX = 1_000_000_000;

/** A task lives in one worker's memory in chunks, but its results travel whole. BAD_ARGUMENT. */
export const BATCH_MAX = 10_000;

/** A weight is a small integer, so that virtual time stays exact. BAD_ARGUMENT. */
export const WEIGHT_MAX = 100;

/** Jobs that are not final: each costs a look per decision of the fair queue. BUSY. */
export const LIVE_JOBS_MAX = 1_000;

/** Failed queries that are kept by name for each task; the others are in the results as errors. */
export const NAMED_FAILURES_MAX = 32;

/** Characters of a reason in a table. Cut, not refused. */
export const REASON_CHARS_MAX = 400;

/**
 * Completions, returns, grants and states of models in one `work` command. A command may touch
 * 256 rows: each of these touches at most six and its job's two, and ACTIVITY_CHANGES_MAX jobs may
 * change beside them.
 */
export const WORK_UNITS_MAX = 20;

/** Of those, what one worker reports at once, and asks for at once; the rest comes with the next. */
export const REPORT_EVENTS_MAX = 12;
export const REPORT_WANT_MAX = 8;

/** Jobs that one command may make active or inactive; the next command does the rest. */
export const ACTIVITY_CHANGES_MAX = 64;

/** Leases of one worker: its slots and one ahead. A report that asks for more is refused. */
export const WORKER_TASKS_MAX = 64;

/** Tasks that one command moves from the tables into a segment: two rows each, and a few. */
export const COMPACT_TASKS_MAX = 100;

/** Leases that one command ends when it sweeps (five rows each); the leader sends the next. */
export const SWEEP_LEASES_MAX = 32;

/** Assignments of models to workers that one command adds, and removes. */
export const ASSIGN_ROWS_MAX = 64;

/** Decisions about where models are loaded that one command records, and that are remembered. */
export const DECISIONS_MAX = 16;
export const DECISIONS_KEPT_MAX = 64;

/** Workers that a deployment may name. BAD_ARGUMENT. */
export const WORKERS_NAMED_MAX = 256;

/** Files and bytes of a model folder. BAD_MODEL. */
export const MODEL_FILES_MAX = 32;
export const MODEL_FILE_BYTES_MAX = 2 * 1024 * 1024 * 1024;

/** A report waits this long at the leader for work before it is answered empty. */
export const POLL_HOLD_MS = 5_000;

/** A lease lasts max(this, LEASE_FACTOR × mean task time) after it was last reported as held. */
export const LEASE_MIN_MS = 10_000;
export const LEASE_FACTOR = 10;
