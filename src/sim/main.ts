/**
 * `npm run sim`: many seeds of the consensus simulation, one report; or one seed, replayed or made
 * smaller. Stdout carries the result (text, or one JSON document with `-o json`), stderr the
 * progress. Exit status 0 only if every target was met, 2 for a wrong command line.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createReport, describeTargets, type Report, target } from '../base/index.js';
import { REGISTER } from './linear/model.js';
import { byRegister } from './linear/registers.js';
import { renderTimeline } from './linear/timeline.js';
import { judge } from './linear/wgl.js';
import { describeReduction, parseOptions, type SimOptions, USAGE } from './options.js';
import type { FaultCounts } from './plan.js';
import { runSeeds } from './pool.js';
import { type RunResult, runSeed } from './run.js';
import { shrink } from './shrink.js';
import { describeViolations, leaderChanges, type Repetition, Totals } from './totals.js';

/** So many seeds are run again here and in a fresh process, and their traces compared. */
const REPEATED_SEEDS = 20;

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n${USAGE}\n`);
    process.exitCode = 2;
    return;
  }
  if (options.output === 'hashes') {
    printHashes(options);
    return;
  }
  const report = await run(options);
  const text = options.output === 'json' ? JSON.stringify(report, null, 2) : describeRun(report);
  process.stdout.write(`${text}\n`);
  process.exitCode = report.ok ? 0 : 1;
}

function run(options: SimOptions): Report | Promise<Report> {
  if (!options.isReplay) return runMany(options);
  return options.isShrink ? shrinkSeed(options) : replay(options);
}

/** One seed with its trace; compared with a second run of itself. */
function replay({ firstSeed: seed, reduction, timelinePath }: SimOptions): Report {
  const print = (line: string): void => say(line);
  const result = runSeed(seed, { print, reduction });
  const again = runSeed(seed, { reduction });
  const path = timelinePath ?? timelinePathOf(result);
  if (path !== undefined) drawTimeline(result, path);
  return reportSeed(result, again.traceHash === result.traceHash, { timeline: path });
}

/** Prints the one command line that shows the failure with as little as possible around it. */
function shrinkSeed(options: SimOptions): Report {
  const { firstSeed: seed, reduction } = options;
  const shrunken = shrink((smaller) => runSeed(seed, { reduction: smaller }), say, reduction);
  if (shrunken === undefined) {
    say(`seed ${seed} breaks no promise: there is nothing to shrink`);
    return reportSeed(runSeed(seed, { reduction }), true, {});
  }
  const { result, runs } = shrunken;
  const command = `npm run sim -- --seed ${seed} ${describeReduction(shrunken.reduction)}`;
  const again = runSeed(seed, { reduction: shrunken.reduction });
  say(`${result.violation?.message}\n${command}`);
  return reportSeed(result, again.traceHash === result.traceHash, { shrunken: command, runs });
}

function reportSeed(
  result: RunResult,
  isEqual: boolean,
  fields: Readonly<Record<string, unknown>>,
): Report {
  const { violation } = result;
  const targets = [
    target('violations', 'count', 'equal', 0, violation === undefined ? 0 : 1),
    target('determinism', '%', 'equal', 100, isEqual ? 100 : 0),
  ];
  return createReport('sim', targets, {
    seeds: 1,
    seed: result.seed,
    plan: result.plan,
    violations: describeViolations(violation === undefined ? [] : [violation]),
    leaderChangesMean: leaderChanges(result),
    operations: result.operations,
    strikes: result.strikes,
    faults: result.faults,
    events: result.events,
    virtualMs: Math.round(result.virtualMs),
    traceHash: result.traceHash,
    ...fields,
  });
}

async function runMany(options: SimOptions): Promise<Report> {
  const { firstSeed, seedCount, isUntilViolation } = options;
  const totals = new Totals();
  const before = process.cpuUsage();
  await runSeeds({
    firstSeed,
    seedCount,
    workers: options.workers ?? availableParallelism(),
    onResult: (summary) => {
      totals.add(summary);
      const { violation } = summary;
      if (violation !== undefined) {
        say(`seed ${summary.seed}: ${violation.invariant}: ${violation.message}`);
      }
      if (totals.seeds % 20 === 0) say(`${totals.seeds} of ${seedCount} seeds`);
      return !(isUntilViolation && violation !== undefined);
    },
  });
  const { user, system } = process.cpuUsage(before);
  const eventsPerSecond = Math.round(totals.events / ((user + system) / 1e6));
  for (const { seed, invariant } of totals.violations) {
    if (!invariant.startsWith('linearizable')) continue;
    const result = runSeed(seed);
    const path = timelinePathOf(result);
    if (path !== undefined) drawTimeline(result, path);
  }
  return totals.report(eventsPerSecond, repeat(totals));
}

/** The first seeds once more: twice here, and in a process of their own. */
function repeat(totals: Totals): Repetition {
  const chosen = totals.inOrder.slice(0, REPEATED_SEEDS);
  const elsewhere = hashesElsewhere(chosen[0]?.seed ?? 1, chosen.length);
  const isEqualHere = ({ seed, traceHash }: { seed: number; traceHash: string }): boolean =>
    runSeed(seed).traceHash === traceHash && runSeed(seed).traceHash === traceHash;
  return {
    seeds: chosen.length,
    equalHere: chosen.filter(isEqualHere).length,
    equalElsewhere: chosen.filter(({ seed, traceHash }) => elsewhere.get(seed) === traceHash)
      .length,
  };
}

function hashesElsewhere(firstSeed: number, seedCount: number): ReadonlyMap<number, string> {
  const args = ['--from', `${firstSeed}`, '--seeds', `${seedCount}`, '-o', 'hashes'];
  const text = execFileSync(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = text.trim().split('\n');
  return new Map(lines.map((line) => [Number(line.split(' ')[0]), line.split(' ')[1] ?? '']));
}

function printHashes({ firstSeed, seedCount, reduction }: SimOptions): void {
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed += 1) {
    process.stdout.write(`${seed} ${runSeed(seed, { reduction }).traceHash}\n`);
  }
}

/** A history that no order explains is drawn even where nobody asked. */
function timelinePathOf({ seed, violation }: RunResult): string | undefined {
  if (violation?.invariant.startsWith('linearizable') !== true) return undefined;
  return join(tmpdir(), `idunno-sim-seed-${seed}.html`);
}

function drawTimeline({ seed, history, violation }: RunResult, path: string): void {
  const charts = [...byRegister(history)].map(([register, operations]) => ({
    title: `register ${register}`,
    history: operations,
    model: REGISTER,
    judgement: judge(operations, REGISTER),
  }));
  const heading = `Seed ${seed}: ${violation?.message ?? 'no promise was broken'}`;
  writeFileSync(path, renderTimeline(heading, charts));
  say(`what the clients saw is drawn in ${path}`);
}

function describeRun(report: Report): string {
  const lines = [describeTargets(report)];
  const faults = Object.entries(report['faults'] as FaultCounts);
  lines.push(`  faults: ${faults.map(([kind, count]) => `${kind} ${count}`).join(', ')}`);
  for (const violation of report['violations'] as { replay: string; message: string }[]) {
    lines.push(`  ${violation.message}\n    ${violation.replay}`);
  }
  if (report['shrunken'] !== undefined) lines.push(`  smaller: ${report['shrunken']}`);
  return lines.join('\n');
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

await main();
