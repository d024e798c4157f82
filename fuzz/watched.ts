/**
 * Runs a target's cases in a child process and looks after it: a case that does not end, a process
 * that dies or grows without bound are failures of the case that it was at.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MIB } from '../src/base/index.js';
import { caseOf } from './engine.js';
import type { FuzzResult, FuzzTarget } from './types.js';

export interface ChildOrder {
  readonly target: string;
  readonly seed: string;
  readonly cases: number;
  readonly from: number;
  readonly isCorpusTried: boolean;
  readonly caseFile: string;
  /** The module that has the target among its TARGETS. */
  readonly targets: string;
}

/** A double. */
export const CASE_BYTES = 8;

const TARGETS_MODULE = new URL('./targets/index.js', import.meta.url).href;
const LOOK_EVERY_MS = 500;
/** A case takes milliseconds; a machine may have much else to do. */
const CASE_MS_MAX = 60_000;
/** Loading the code, and the corpus. */
const START_MS_MAX = 120_000;
const HEAP_MIB_MAX = 512;
const RESIDENT_BYTES_MAX = 1_536 * MIB;
const PAGE_BYTES = 4_096;

export interface WatchedRun {
  readonly seed: string;
  readonly cases: number;
  readonly from: number;
  readonly isCorpusTried: boolean;
  /** Default: the project's. */
  readonly targets?: string;
  readonly caseMsMax?: number;
}

export async function runWatched(target: FuzzTarget, run: WatchedRun): Promise<FuzzResult> {
  const { caseMsMax = CASE_MS_MAX, targets = TARGETS_MODULE } = run;
  const folder = mkdtempSync(join(tmpdir(), 'idunno-fuzz-'));
  const caseFile = join(folder, 'case');
  const child = fork(fileURLToPath(new URL('./child.js', import.meta.url)), {
    execArgv: [`--max-old-space-size=${HEAP_MIB_MAX}`],
    serialization: 'advanced',
  });
  let result: FuzzResult | undefined;
  let problem: string | undefined;
  let last = { at: -1, sinceMs: performance.now() };
  const look = setInterval(() => {
    const at = caseIn(caseFile);
    if (at !== last.at) last = { at, sinceMs: performance.now() };
    const msMax = at < 0 ? START_MS_MAX : caseMsMax;
    if (performance.now() - last.sinceMs > msMax) {
      problem ??= `it did not end within ${msMax / 1_000} s`;
    }
    if (residentBytes(child.pid) > RESIDENT_BYTES_MAX) {
      problem ??= `it took more than ${RESIDENT_BYTES_MAX / MIB} MiB of memory`;
    }
    if (problem !== undefined) child.kill('SIGKILL');
  }, LOOK_EVERY_MS);
  child.on('message', (message) => {
    result = message as FuzzResult;
  });
  const order: ChildOrder = { target: target.name, caseFile, ...run, targets };
  child.send(order);
  const end = await new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  clearInterval(look);
  const at = caseIn(caseFile);
  rmSync(folder, { recursive: true, force: true });
  if (result !== undefined && problem === undefined) return result;
  const { input } = caseOf(target, run.seed, Math.max(0, at));
  const failure = { at, input, shrunk: input, problem: problem ?? `the process died: ${end}` };
  const cases = Math.max(0, at - run.from + 1);
  const counts = { cases, corpus: 0, accepted: 0, refused: 0 };
  return { target: target.name, ...counts, failures: [failure] };
}

/** -1: none has begun. */
function caseIn(file: string): number {
  try {
    const bytes = readFileSync(file);
    return bytes.length < CASE_BYTES ? -1 : bytes.readDoubleBE(0);
  } catch {
    return -1;
  }
}

function residentBytes(pid: number | undefined): number {
  try {
    const [, pages] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
    return Number(pages) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
