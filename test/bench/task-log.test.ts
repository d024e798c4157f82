/** The figures of the classic evaluation are read from log lines: these lines, these figures. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { readTaskLog, redoneMs, resumeMs } from '../../bench/classic/task-log.js';
import { summarize } from '../../bench/lib/summary.js';

const JOBS = new Set([7]);
const T0 = Date.parse('2026-01-01T00:00:00.000Z');

function leased(task: number, attempt: number, worker: string, atMs: number): string {
  const fields = { job: 7, task, attempt, worker, queries: 3, atMs: T0 + atMs, index: 1 };
  return JSON.stringify({
    event: 'task.leased',
    time: new Date(T0 + atMs).toISOString(),
    ...fields,
  });
}

function done(task: number, worker: string, leasedMs: number | null, atMs: number): string {
  const leasedAt = leasedMs === null ? null : T0 + leasedMs;
  const fields = { job: 7, task, queries: 3, failed: 0, worker, ms: 20, leasedMs: leasedAt };
  return JSON.stringify({
    event: 'task.done',
    time: new Date(T0 + atMs).toISOString(),
    ...fields,
    attempt: 1,
    atMs: T0 + atMs - 2,
  });
}

async function logOf(t: Tap, nodes: Readonly<Record<string, readonly string[]>>) {
  const folder = t.testdir({});
  for (const [name, lines] of Object.entries(nodes)) {
    await mkdir(join(folder, name, 'logs'), { recursive: true });
    await writeFile(join(folder, name, 'logs', 'node.log'), lines.join('\n'));
  }
  return readTaskLog(Object.keys(nodes).map((name) => join(folder, name)));
}

type Tap = { testdir(fixture: Record<string, never>): string };

t.test('work has resumed with the first result that was leased after the failure', async (t) => {
  const log = await logOf(t, {
    n1: [leased(0, 1, 'n8', 50), done(0, 'n8', 50, 120), leased(3, 1, 'n9', 110)],
    n2: [
      leased(6, 1, 'n9', 150),
      done(3, 'n9', 110, 160),
      done(6, 'n9', 150, 400),
      '{"event":"task.do',
    ],
  });
  t.equal(resumeMs(log, JOBS, T0 + 100), 60, 'leased at 110, done at 160');
  t.equal(resumeMs(log, JOBS, T0 + 140), 260);
  t.ok(Number.isNaN(resumeMs(log, JOBS, T0 + 200)), 'nothing was leased later');
  t.ok(Number.isNaN(resumeMs(log, new Set([8]), T0 + 100)), 'another job');
});

t.test('what a dead worker held is redone when the last of it has a result', async (t) => {
  const log = await logOf(t, {
    n1: [
      leased(0, 1, 'n8', 10),
      done(0, 'n8', 10, 90),
      leased(3, 1, 'n8', 20),
      leased(6, 1, 'n8', 30),
      leased(9, 1, 'n9', 30),
      leased(3, 2, 'n9', 300),
      done(3, 'n9', 300, 500),
      leased(6, 2, 'n10', 310),
      done(6, 'n10', 310, 450),
      done(9, 'n9', 30, 700),
    ],
  });
  t.equal(redoneMs(log, JOBS, 'n8', T0 + 100), 400, 'tasks 3 and 6, not 0 and 9');
  t.equal(redoneMs(log, JOBS, 'n7', T0 + 100), undefined, 'held nothing');
});

t.test('a task that is never redone leaves no figure that could meet a goal', async (t) => {
  const log = await logOf(t, { n1: [leased(0, 1, 'n8', 10)] });
  t.ok(Number.isNaN(redoneMs(log, JOBS, 'n8', T0 + 100)));
});

t.test('a task that two leaders wrote about counts once, when the first said it', async (t) => {
  const log = await logOf(t, { n1: [done(0, 'n8', null, 90)], n2: [done(0, 'n8', 10, 80)] });
  t.same(
    log.done.map(({ atMs }) => atMs - T0),
    [80],
  );
});

t.test('mean and standard deviation of trials', async (t) => {
  const { mean, std, min, max, count } = summarize([2, 4, 4, 4, 5, 5, 7, 9]);
  t.same([count, mean, min, max], [8, 5, 2, 9]);
  t.ok(Math.abs(std - Math.sqrt(32 / 7)) < 1e-12);
  t.ok(Number.isNaN(summarize([]).mean), 'nothing measured is not zero');
});
