/**
 * `npm run sim`: many seeds of the consensus simulation, one report. Stdout carries the result
 * (text, or one JSON document with `-o json`), stderr the progress. Exit status 0 only if every
 * target was met, 2 for a wrong command line.
 */
import { createReport, describeTargets, type Report, target } from '../base/index.js';
import { type SimOptions, parseOptions, USAGE } from './options.js';
import { FAULT_KINDS, type FaultCounts, noFaults } from './plan.js';
import { type FoundViolation, OPERATIONS_MIN, type RunResult, runSeed } from './run.js';

/** So many seeds are run twice, and their traces compared. */
const REPEATED_SEEDS = 20;
const EVENTS_PER_SECOND_GOAL = 20_000;
const LEADER_CHANGES_GOAL = 3;

function main(): void {
  const options = parseOptions(process.argv.slice(2));
  if (typeof options === 'string') {
    process.stderr.write(`${options}\n${USAGE}\n`);
    process.exitCode = 2;
    return;
  }
  const report = options.isReplay ? replay(options.firstSeed) : runMany(options);
  const text = options.isJson ? JSON.stringify(report, null, 2) : describeRun(report);
  process.stdout.write(`${text}\n`);
  process.exitCode = report.ok ? 0 : 1;
}

/** One seed with its trace; compared with a second run of itself. */
function replay(seed: number): Report {
  const result = runSeed(seed, { print: (line) => process.stderr.write(`${line}\n`) });
  const again = runSeed(seed);
  const targets = [
    target('violations', 'count', 'equal', 0, result.violation === undefined ? 0 : 1),
    target('determinism', '%', 'equal', 100, again.traceHash === result.traceHash ? 100 : 0),
  ];
  return createReport('sim', targets, {
    seeds: 1,
    seed,
    plan: result.plan,
    violations: describeViolations(result.violation === undefined ? [] : [result.violation]),
    leaderChangesMean: leaderChanges(result),
    operations: result.operations,
    faults: result.faults,
    events: result.events,
    virtualMs: Math.round(result.virtualMs),
    traceHash: result.traceHash,
  });
}

class Totals {
  readonly violations: FoundViolation[] = [];
  readonly faults: FaultCounts = noFaults();
  events = 0;
  virtualMs = 0;
  operations = 0;
  operationsMin = Number.POSITIVE_INFINITY;
  leaderChanges = 0;
  traces = '';

  add(result: RunResult): void {
    if (result.violation !== undefined) this.violations.push(result.violation);
    for (const kind of FAULT_KINDS) this.faults[kind] += result.faults[kind];
    this.events += result.events;
    this.virtualMs += result.virtualMs;
    this.operations += result.operations.done;
    this.operationsMin = Math.min(this.operationsMin, result.operations.done);
    this.leaderChanges += leaderChanges(result);
    // Order matters: the hash of a set of seeds is that of their traces one after another.
    this.traces = chain(this.traces, result.traceHash);
  }
}

function runMany({ firstSeed, seedCount }: SimOptions): Report {
  const totals = new Totals();
  const hashes = new Map<number, string>();
  const before = process.cpuUsage();
  for (let at = 0; at < seedCount; at += 1) {
    const seed = firstSeed + at;
    const result = runSeed(seed);
    totals.add(result);
    hashes.set(seed, result.traceHash);
    if (result.violation !== undefined) {
      process.stderr.write(
        `seed ${seed}: ${result.violation.invariant}: ${result.violation.message}\n`,
      );
    }
    if ((at + 1) % 20 === 0) process.stderr.write(`${at + 1} of ${seedCount} seeds\n`);
  }
  const { user, system } = process.cpuUsage(before);
  const eventsPerSecond = Math.round(totals.events / ((user + system) / 1e6));
  const repeated = [...hashes].slice(0, REPEATED_SEEDS);
  const equal = repeated.filter(([seed, hash]) => runSeed(seed).traceHash === hash).length;
  return summarise(totals, seedCount, eventsPerSecond, { repeated: repeated.length, equal });
}

function summarise(
  totals: Totals,
  seeds: number,
  eventsPerSecond: number,
  { repeated, equal }: { repeated: number; equal: number },
): Report {
  const missing = FAULT_KINDS.filter((kind) => totals.faults[kind] === 0);
  const changesMean = totals.leaderChanges / seeds;
  const targets = [
    target('violations', 'count', 'equal', 0, totals.violations.length),
    target('determinism', '% of repeated seeds', 'equal', 100, (100 * equal) / repeated),
    target('fault kinds that never struck', 'count', 'equal', 0, missing.length),
    target('leader changes', 'mean per seed', 'at-least', LEADER_CHANGES_GOAL, changesMean),
    target('operations', 'least per seed', 'at-least', OPERATIONS_MIN, totals.operationsMin),
    target('speed', 'events/s/core', 'at-least', EVENTS_PER_SECOND_GOAL, eventsPerSecond),
  ];
  return createReport('sim', targets, {
    seeds,
    violations: describeViolations(totals.violations),
    leaderChangesMean: changesMean,
    faults: totals.faults,
    operations: totals.operations,
    events: totals.events,
    eventsPerSecond,
    virtualMs: Math.round(totals.virtualMs),
    seedsRunTwice: repeated,
    traceHash: totals.traces,
  });
}

function describeViolations(violations: readonly FoundViolation[]): object[] {
  return violations.map(({ seed, invariant, message, atMs }) => ({
    seed,
    invariant,
    message,
    atMs: Math.round(atMs),
    replay: `npm run sim -- --seed ${seed}`,
  }));
}

/** The first leader is no change. */
function leaderChanges(result: RunResult): number {
  return Math.max(0, result.elections - 1);
}

function describeRun(report: Report): string {
  const lines = [describeTargets(report)];
  const faults = Object.entries(report['faults'] as FaultCounts);
  lines.push(`  faults: ${faults.map(([kind, count]) => `${kind} ${count}`).join(', ')}`);
  for (const violation of report['violations'] as { replay: string; message: string }[]) {
    lines.push(`  ${violation.message}\n    ${violation.replay}`);
  }
  return lines.join('\n');
}

/** FNV-1a over both texts. */
function chain(before: string, next: string): string {
  let hash = 0x811c9dc5;
  for (const character of before + next) {
    hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
}

main();
