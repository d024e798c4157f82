/**
 * Runs the tests with tap: first the plain ones, side by side; then those that start processes,
 * one at a time, because several clusters on a small machine disturb each other.
 *
 * Usage: node scripts/test.js [PART-OF-A-PATH ...]   (after scripts/setup.sh)
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const filters = process.argv.slice(2);

function testFiles() {
  return readdirSync(join(root, 'dist/test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => filters.length === 0 || filters.some((part) => file.includes(part)))
    .sort();
}

/** Runs tap on the files; returns the counts it prints at the end and its exit status. */
function runTap(files, jobs) {
  const args = ['tap', 'run', '--disable-coverage', '--allow-empty-coverage', '--reporter=terse'];
  args.push('--timeout=300', `--jobs=${jobs}`, ...files);
  return new Promise((resolve) => {
    const child = spawn('npx', ['--no-install', ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    });
    let text = '';
    child.stdout.on('data', (bytes) => {
      text += bytes;
      process.stdout.write(bytes);
    });
    child.on('close', (status) => resolve({ status: status ?? 1, counts: countsOf(text) }));
  });
}

/** tap's closing line: `# { total: 12, pass: 11, skip: 1 }`. */
function countsOf(text) {
  const counts = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes are control characters
  const plain = text.replace(/\u001b\[[0-9;]*m/g, '');
  for (const [, body] of plain.matchAll(/^\s*#\s*\{([^}]*)\}\s*$/gm)) {
    for (const [, name, value] of (body ?? '').matchAll(/(\w+):\s*(\d+)/g)) {
      if (name in counts) counts[name] += Number(value);
    }
  }
  return counts;
}

const files = testFiles();
if (files.length === 0) {
  console.error(`no test file matches ${filters.join(', ') || 'dist/test/**/*.test.js'}`);
  process.exit(1);
}
const groups = [
  { files: files.filter((file) => !file.endsWith('.proc.test.js')), jobs: availableParallelism() },
  { files: files.filter((file) => file.endsWith('.proc.test.js')), jobs: 1 },
];
let passed = 0;
let failed = 0;
let skipped = 0;
let status = 0;
for (const group of groups) {
  if (group.files.length === 0) continue;
  const run = await runTap(group.files, group.jobs);
  if (run.status !== 0) status = 1;
  passed += run.counts.pass;
  failed += run.counts.fail;
  skipped += run.counts.skip;
}
// A run that failed without a failing assertion (a crash, a timeout) is a failure all the same.
if (status !== 0 && failed === 0) failed = 1;
if (passed === 0) status = 1;
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(status);
