/**
 * How much of the consensus (src/raft) its own tests run: lines and branches, measured by V8 and
 * mapped back to the sources by c8. Exits 1 below the goals, or when a test fails.
 *
 * Only the tests of test/raft count: a line that some cluster happens to reach
 * is not thereby tested.
 *
 * Usage: node scripts/coverage.js [-o json]   (after scripts/setup.sh; npm run coverage)
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const isJson = process.argv.slice(2).join(' ') === '-o json';
if (process.argv.length > 2 && !isJson) {
  console.error('coverage: the only option is -o json');
  process.exit(2);
}
const { createReport, describeTargets, target } = await import('../dist/src/base/report.js');

const LINES_GOAL = 95;
const BRANCHES_GOAL = 90;
const TESTS = ['dist/test/raft'];

function filesIn(folder, ending) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

function run(command, args, env, stdout) {
  return new Promise((resolve) => {
    const options = { cwd: root, env: { ...process.env, ...env } };
    const child = spawn(command, args, { ...options, stdio: ['ignore', stdout, 'inherit'] });
    child.on('close', (status) => resolve(status ?? 1));
  });
}

/** Runs each file in a process of its own; returns those that failed. */
async function runTests(files, counters) {
  const waiting = [...files];
  const failed = [];
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const status = await run(process.execPath, [file], { NODE_V8_COVERAGE: counters }, 'ignore');
      if (status !== 0) failed.push(file);
      console.error(`${status === 0 ? 'ok    ' : 'FAILED'} ${file}`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return failed;
}

/** c8's summary, by source file; its table of uncovered lines goes to stderr. */
async function summarize(counters, reports) {
  const args = ['--no-install', 'c8', 'report', '--include', 'src/raft/**'];
  args.push('--exclude-after-remap', '--temp-directory', counters);
  args.push('--report-dir', reports, '--reporter', 'text', '--reporter', 'json-summary');
  const status = await run('npx', args, {}, 2);
  if (status !== 0) throw new Error(`c8 ended with ${status}`);
  return JSON.parse(readFileSync(join(reports, 'coverage-summary.json'), 'utf8'));
}

/** A file of types alone compiles to an empty module, which nothing ever loads. */
function hasCode(source) {
  const compiled = readFileSync(join(root, 'dist', source.replace(/\.ts$/, '.js')), 'utf8');
  return compiled.replace(/^\/\/#.*$/m, '').trim() !== 'export {};';
}

const folder = mkdtempSync(join(tmpdir(), 'idunno-coverage-'));
let report;
try {
  const counters = join(folder, 'counters');
  const files = TESTS.flatMap((tests) => filesIn(tests, '.test.js'));
  const failed = await runTests(files, counters);
  const summary = await summarize(counters, join(folder, 'reports'));
  const sources = filesIn('src/raft', '.ts').filter(hasCode);
  const missing = sources.filter((file) => summary[join(root, file)] === undefined);
  const { lines, branches } = summary.total;
  report = createReport(
    'coverage',
    [
      target('lines of src/raft', '%', 'at-least', LINES_GOAL, lines.pct),
      target('branches of src/raft', '%', 'at-least', BRANCHES_GOAL, branches.pct),
      target('source files without a test', '', 'equal', 0, missing.length),
    ],
    { testFiles: files.length, sourceFiles: sources.length, lines, branches, missing },
    failed.map((file) => `${file} failed`),
  );
} finally {
  rmSync(folder, { recursive: true });
}
console.log(isJson ? JSON.stringify(report, null, 2) : describeTargets(report));
process.exit(report.ok ? 0 : 1);
