/** Puts one mutant, or the code as it is, before the tests and the simulator. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { patch } from './patch.js';
import type { Mutation } from './types.js';
import { type Ended, judgeSimulation, judgeTest, type Verdict } from './verdict.js';
import { createWorkshop } from './workshop.js';

export interface Trial {
  readonly mutation: Mutation;
  /** Undefined: not run, since this code is not simulated. */
  readonly simulation: Verdict | undefined;
  readonly test: Verdict;
}

/** A thousand seeds take two minutes on a slow core; a test file a few seconds. */
const TIMEOUT_MS = 900_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export function isCaught({ simulation, test }: Trial): boolean {
  return test.kind === 'caught' || simulation?.kind === 'caught';
}

/** Everything that says nothing where it should say something. */
export function problemsOf({ mutation, simulation, test }: Trial): string[] {
  return [simulation, test].flatMap((verdict) =>
    verdict?.kind === 'broken' ? [`${mutation.id}: ${verdict.why}`] : [],
  );
}

export interface Effort {
  readonly seeds: number;
  /** Where a test has noticed already, the simulator is only asked for so many. */
  readonly seedsAfterTest: number;
}

/** Throws PatchError where the mutation does not fit the code. */
export async function tryMutation(
  root: string,
  mutation: Mutation,
  effort: Effort,
): Promise<Trial> {
  const workshop = createWorkshop(root, patch(root, mutation));
  try {
    const test = await firstCatch(workshop.folder, mutation.tests);
    const seeds = test.kind === 'caught' ? effort.seedsAfterTest : effort.seeds;
    const simulation = mutation.isSimulated
      ? judgeSimulation(await simulate(workshop.folder, seeds))
      : undefined;
    return { mutation, simulation, test };
  } finally {
    workshop.remove();
  }
}

/** The code as it is, from the same kind of copy: all must pass. Returns what does not. */
export async function tryControl(
  root: string,
  files: readonly string[],
  seeds: number,
): Promise<string[]> {
  const workshop = createWorkshop(root, []);
  try {
    const verdicts: Verdict[] = [];
    for (const file of files) verdicts.push(await runTest(workshop.folder, file));
    verdicts.push(judgeSimulation(await simulate(workshop.folder, seeds)));
    return verdicts.flatMap((verdict) => {
      if (verdict.kind === 'missed') return [];
      const seed = verdict.kind === 'caught' && verdict.seed !== undefined ? verdict.seed : '';
      return [verdict.kind === 'caught' ? `${verdict.by} ${seed}`.trim() : verdict.why];
    });
  } finally {
    workshop.remove();
  }
}

/** The first of the files that notices; else what the last one said, a breakdown first. */
async function firstCatch(folder: string, files: readonly string[]): Promise<Verdict> {
  let result: Verdict = { kind: 'missed' };
  for (const file of files) {
    const verdict = await runTest(folder, file);
    if (verdict.kind === 'caught') return verdict;
    if (verdict.kind === 'broken') result = verdict;
  }
  return result;
}

async function runTest(folder: string, file: string): Promise<Verdict> {
  return judgeTest(file, await runNode(folder, [`dist/test/${file}.test.js`]));
}

function simulate(folder: string, seeds: number): Promise<Ended> {
  const args = ['--seeds', `${seeds}`, '--workers', '1', '--until-violation', '-o', 'json'];
  return runNode(folder, ['dist/src/sim/main.js', ...args]);
}

function runNode(folder: string, args: readonly string[]): Promise<Ended> {
  const [script = '', ...rest] = args;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(folder, script), ...rest], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, UV_THREADPOOL_SIZE: '16', TAP: '1', TMPDIR: folder },
    });
    let isTimeout = false;
    const timer = setTimeout(() => {
      isTimeout = true;
      child.kill('SIGKILL');
    }, TIMEOUT_MS);
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (bytes: Buffer) => {
        if (output[name].length < OUTPUT_BYTES_MAX) output[name] += bytes;
      });
    }
    child.on('error', reject);
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      resolve({
        status: status ?? undefined,
        signal: signal ?? undefined,
        isTimeout,
        ...output,
      });
    });
  });
}
