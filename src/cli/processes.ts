/**
 * Node processes that `idunno up` starts and `idunno down` ends. A process is known by its id *and*
 * the moment it started, so that an id the system has given to somebody else is never signalled.
 * Both stand in a small file in the node's data folder, written by the starter.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IdunnoError } from '../base/index.js';

export interface ProcessRecord {
  readonly pid: number;
  /** Opaque; equal for equal processes. */
  readonly startedAs: string;
}

/** In the node's data folder. */
export const PROCESS_FILE = 'up.pid';
/** What a background node wrote to stdout and stderr. */
export const OUTPUT_FILE = 'node.out';

const POLL_MS = 50;

/** When the process started, in the system's own words; undefined when there is none. */
export function startOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    try {
      const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The name in parentheses may hold spaces; the fields after it do not. 22nd: start time.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      const isZombie = fields[0] === 'Z';
      return isZombie ? undefined : fields[19];
    } catch {
      return undefined;
    }
  }
  try {
    const text = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
    return text.trim() === '' ? undefined : text.trim();
  } catch {
    return undefined;
  }
}

/** True while exactly this process runs. */
export function isRunning(record: ProcessRecord): boolean {
  return startOf(record.pid) === record.startedAs;
}

/** The process noted in a data folder, if it still runs. */
export function readRunning(dataDir: string): ProcessRecord | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(join(dataDir, PROCESS_FILE), 'utf8'));
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    const { pid, startedAs } = parsed as Record<string, unknown>;
    if (typeof pid !== 'number' || typeof startedAs !== 'string') return undefined;
    const record = { pid, startedAs };
    return isRunning(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

export interface StartOptions {
  readonly dataDir: string;
  /** Arguments after the node binary. */
  readonly args: readonly string[];
  readonly isForeground: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Starts a node process, or answers the one that runs on this data folder already. In the
 * background it is a session of its own and outlives us.
 */
export function startProcess(options: StartOptions): ChildProcess | ProcessRecord {
  mkdirSync(options.dataDir, { recursive: true });
  const running = claim(options.dataDir);
  if (running !== undefined) return running;
  const output = options.isForeground ? 'pipe' : openSync(join(options.dataDir, OUTPUT_FILE), 'a');
  const child = spawn(process.execPath, [...options.args], {
    detached: !options.isForeground,
    stdio: ['ignore', output, output],
    // Read by libuv before any of our code runs: file work must not starve the log's syncs.
    env: { ...options.env, UV_THREADPOOL_SIZE: '16' },
  });
  if (typeof output === 'number') closeSync(output);
  if (child.pid !== undefined) note(options.dataDir, child.pid, 'w');
  if (!options.isForeground) child.unref();
  return child;
}

/**
 * Of two that start the same node at once one wins: until its child is noted, the starter itself
 * stands in the file. What a dead process left is replaced.
 */
function claim(dataDir: string): ProcessRecord | undefined {
  for (let tries = 0; tries < CLAIM_TRIES; tries += 1) {
    const running = readRunning(dataDir);
    if (running !== undefined) return running;
    rmSync(join(dataDir, PROCESS_FILE), { force: true });
    try {
      note(dataDir, process.pid, 'wx');
      return undefined;
    } catch {
      // Another was faster; see who.
    }
  }
  throw new IdunnoError('FOLDER_LOCKED', `${dataDir} is being used by somebody else`);
}

const CLAIM_TRIES = 5;

function note(dataDir: string, pid: number, flag: 'w' | 'wx'): void {
  const record: ProcessRecord = { pid, startedAs: startOf(pid) ?? '' };
  writeFileSync(join(dataDir, PROCESS_FILE), `${JSON.stringify(record)}\n`, { flag });
}

/** How much a background node has written so far. */
export function outputBytes(dataDir: string): number {
  try {
    return statSync(join(dataDir, OUTPUT_FILE)).size;
  } catch {
    return 0;
  }
}

/** What a background node wrote since, at most so many lines. */
export function outputSince(dataDir: string, bytes: number, lines: number): string {
  try {
    const text = readFileSync(join(dataDir, OUTPUT_FILE)).subarray(bytes).toString('utf8');
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}

/**
 * Ends a process: SIGTERM, and SIGKILL when it is still there after `graceMs`. Says which it took.
 */
export async function endProcess(
  dataDir: string,
  record: ProcessRecord,
  graceMs: number,
): Promise<'ended' | 'killed'> {
  signal(record, 'SIGTERM');
  const gone = await waitGone(record, graceMs);
  if (!gone) {
    signal(record, 'SIGKILL');
    await waitGone(record, KILL_WAIT_MS);
  }
  rmSync(join(dataDir, PROCESS_FILE), { force: true });
  return gone ? 'ended' : 'killed';
}

/** A killed process is gone in milliseconds, unless its disk hangs. */
const KILL_WAIT_MS = 5_000;

function signal(record: ProcessRecord, name: NodeJS.Signals): void {
  if (!isRunning(record)) return;
  try {
    process.kill(record.pid, name);
  } catch {
    // It ended between the look and the signal.
  }
}

async function waitGone(record: ProcessRecord, timeoutMs: number): Promise<boolean> {
  for (let waited = 0; waited < timeoutMs; waited += POLL_MS) {
    if (!isRunning(record)) return true;
    await sleep(POLL_MS);
  }
  return !isRunning(record);
}
