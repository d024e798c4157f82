/** One node's log, searched by a real thread: segments, bounds, deadlines, and grep on the same files. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLogger, createRealClock } from '../../src/base/index.js';
import {
  type LogFiles,
  type NodeQuery,
  type ScanEvent,
  ThreadedNodeLogs,
} from '../../src/logs/index.js';
import { linesOf, randomText, seeded } from './grep-oracle.js';

const QUERY: NodeQuery = {
  pattern: '',
  syntax: 'extended',
  ignoreCase: false,
  invert: false,
  countOnly: false,
  max: null,
  skip: 0,
  budgetMs: 60_000,
};

const FILES: LogFiles = {
  flush: async () => {},
  clear: async () => ({ segments: 0, bytes: 0 }),
};

function folderOf(t: Pick<typeof import('tap').t, 'teardown'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'idunno-logs-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function logsIn(folder: string, files = FILES): ThreadedNodeLogs {
  return new ThreadedNodeLogs({ folder }, { clock: createRealClock(), files });
}

interface Found {
  readonly lines: readonly string[];
  readonly places: readonly (readonly [segment: string, offset: number])[];
  readonly end: Extract<ScanEvent, { kind: 'end' }>['report'];
}

async function scan(logs: ThreadedNodeLogs, query: Partial<NodeQuery>): Promise<Found> {
  const lines: string[] = [];
  const places: [string, number][] = [];
  for await (const event of logs.scan({ ...QUERY, ...query })) {
    if (event.kind === 'end') return { lines, places, end: event.report };
    if (event.kind !== 'lines') continue;
    let at = 0;
    for (const [index, offset] of event.offsets.entries()) {
      const end = at + (event.lengths[index] ?? 0);
      lines.push(Buffer.from(event.bytes.subarray(at, end)).toString('latin1'));
      places.push([event.segment, offset]);
      at = end;
    }
  }
  throw new Error('a scan without an end');
}

function grepFiles(folder: string, names: readonly string[], args: readonly string[]): string[] {
  const input = Buffer.concat(names.map((name) => readFileSync(join(folder, name))));
  const ran = spawnSync('grep', ['-a', ...args], { input, env: { ...process.env, LC_ALL: 'C' } });
  return linesOf(ran.stdout);
}

t.test('all segments, oldest first, with every option, as grep finds them', async (t) => {
  const folder = folderOf(t);
  const rng = seeded('segments');
  const names = ['node.log.2', 'node.log.10', 'node.log'];
  // The second is larger than what is read at once, so lines lie across its borders.
  for (const [name, lines] of [
    ['node.log.2', 300],
    ['node.log.10', 260_000],
    ['node.log', 50],
  ] as const) {
    writeFileSync(join(folder, name), randomText(rng, lines));
  }
  writeFileSync(join(folder, 'node.log.x'), 'a: not of the log\n');
  writeFileSync(join(folder, 'other'), 'a\n');
  const logs = logsIn(folder);
  const cases: readonly (readonly [Partial<NodeQuery>, readonly string[]])[] = [
    [{ pattern: 'aa[[:digit:]]?b' }, ['-E', 'aa[[:digit:]]?b']],
    [{ pattern: 'AB', ignoreCase: true, max: 200 }, ['-E', '-i', '-m', '200', 'AB']],
    [{ pattern: '[ab1]', invert: true }, ['-E', '-v', '[ab1]']],
    [{ pattern: 'a.', syntax: 'fixed' }, ['-F', 'a.']],
    [{ pattern: 'a\\{2\\}', syntax: 'basic', invert: true, max: 7 }, ['-v', '-m', '7', 'a\\{2\\}']],
    [{ pattern: '^$' }, ['-E', '^$']],
  ];
  for (const [query, args] of cases) {
    const wanted = grepFiles(folder, names, args);
    const found = await scan(logs, query);
    t.equal(found.lines.length, wanted.length, args.join(' '));
    t.ok(
      found.lines.every((line, at) => line === wanted[at]),
      'the same lines in the same order',
    );
    t.match(found.end, { status: 'ok', matches: wanted.length, error: null });
    const counted = await scan(logs, { ...query, countOnly: true });
    t.equal(counted.end.matches, wanted.length);
    t.equal(counted.lines.length, 0);
    const rest = await scan(logs, { ...query, skip: 5 });
    t.same(rest.lines, wanted.slice(5), 'without those that were delivered before');
    t.equal(rest.end.matches, wanted.length, 'which are counted all the same');
    for (const at of [0, found.places.length - 1]) {
      const [segment, offset] = found.places[at] ?? ['', 0];
      const bytes = readFileSync(join(folder, segment));
      const line = bytes.subarray(offset, bytes.indexOf(0x0a, offset));
      t.equal(line.toString('latin1'), found.lines[at], 'the offset is that of the line');
    }
  }
});

t.test('a log that is not there, empty, or ends within a line', async (t) => {
  const folder = folderOf(t);
  const logs = logsIn(folder);
  t.match((await scan(logs, { pattern: 'a' })).end, { status: 'ok', matches: 0, bytes: 0 });
  writeFileSync(join(folder, 'node.log'), '');
  t.match((await scan(logs, { pattern: '' })).end, { status: 'ok', matches: 0 });
  writeFileSync(join(folder, 'node.log'), 'first\nlast, not ended');
  t.same((await scan(logs, { pattern: 't' })).lines, ['first', 'last, not ended']);
  t.same((await scan(logs, { pattern: 'ended$' })).lines, ['last, not ended']);
  const gone = logsIn(join(folder, 'nowhere'));
  t.match((await scan(gone, { pattern: 'a' })).end, { status: 'failed', error: /ENOENT/ });
});

t.test('patterns that make others backtrack without end take time by the byte', async (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, 'node.log'), `${`${'a'.repeat(5_000)}\n`.repeat(200)}`);
  const logs = logsIn(folder);
  // Each takes a backtracking engine longer than the age of the universe.
  const hostile = ['^(a+)+$x', '(a|aa)+$x|(a*)*b', '(a?){64}a{64}b', '(.*)(.*)(.*)(.*)(.*)[0-9]$'];
  for (const pattern of [...hostile, '(x+x+)+y', '([a-z]+)*[0-9]']) {
    const { end } = await scan(logs, { pattern });
    t.match(end, { status: 'ok', matches: 0, bytes: 200 * 5_001 }, pattern);
  }
});

t.test('a scan that is over its time is ended, and says so', async (t) => {
  const folder = folderOf(t);
  const rng = seeded('deadline');
  const text = Array.from({ length: 200_000 }, () => (rng.int(2) === 0 ? 'a' : 'b')).join('');
  writeFileSync(join(folder, 'node.log'), `${text}\n`.repeat(20));
  // Exponentially many states of thousands of steps each: they are never met twice.
  const pattern = '(a|b)*a(a|b){3000}c';
  const found = await scan(logsIn(folder), { pattern, budgetMs: 300 });
  t.match(found.end, { status: 'timeout', error: /time/ });
});

t.test('a reader that has enough ends the scan, and one that pauses stops no clock', async (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, 'node.log'), 'some line or other\n'.repeat(250_000));
  const logs = logsIn(folder);
  for (let round = 0; round < 6; round += 1) {
    for await (const event of logs.scan({ ...QUERY, pattern: 'line' })) {
      if (event.kind === 'lines') break;
    }
  }
  let lines = 0;
  for await (const event of logs.scan({ ...QUERY, pattern: 'line', budgetMs: 20_000 })) {
    if (event.kind === 'lines') lines += event.offsets.length;
    if (event.kind === 'end') t.equal(event.report.status, 'ok');
  }
  t.equal(lines, 250_000, 'scans that were left took no place: more than four were begun');
});

t.test('too many scans at once are refused, and a pattern that is none', async (t) => {
  const folder = folderOf(t);
  const logs = logsIn(folder);
  const open = Array.from({ length: 4 }, () => logs.scan({ ...QUERY, pattern: 'a' }));
  t.throws(() => logs.scan({ ...QUERY, pattern: 'a' }), { code: 'BUSY' });
  for (const scanning of open) await scanning.return?.();
  t.throws(() => logs.scan({ ...QUERY, pattern: 'a(' }), { code: 'BAD_ARGUMENT' });
  t.throws(() => logs.scan({ ...QUERY, pattern: '(a)\\1' }), { message: /back-references/ });
  t.throws(() => logs.scan({ ...QUERY, pattern: '((a{99}){99}){99}' }), { message: /steps/ });
  t.throws(() => logs.scan({ ...QUERY, pattern: '('.repeat(300) }), { message: /parentheses/ });
  t.match((await scan(logs, { pattern: 'a' })).end, { status: 'ok' });
});

t.test(
  'what was logged before the question is found, and nothing after the log is cleared',
  async (t) => {
    const folder = join(folderOf(t), 'logs');
    mkdirSync(folder);
    const log = createLogger({ folder, clock: createRealClock(), segmentBytes: 2_000 });
    const logs = logsIn(folder, log);
    for (let n = 0; n < 100; n += 1) log.info('something', { n });
    const found = await scan(logs, { pattern: '"event":"something"', syntax: 'fixed' });
    t.equal(found.lines.length, 100);
    t.same(
      found.lines.map((line) => (JSON.parse(line) as { n: number }).n),
      [...Array(100).keys()],
    );
    const { segments, bytes } = await logs.clear();
    t.ok(segments > 3, `${segments} segments`);
    t.ok(bytes > 4_000);
    t.match((await scan(logs, { pattern: '' })).end, { matches: 0, bytes: 0 });
    log.info('afterwards');
    const after = await scan(logs, { pattern: '' });
    t.equal(after.lines.length, 1);
    t.same(after.places, [['node.log', 0]], 'the file begins anew');
    await log.close();
  },
);
