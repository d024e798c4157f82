/** The node's log on disk, and the loggers of tests. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import {
  createLogger,
  createMemoryLogger,
  createSilentLogger,
  IdunnoError,
  VirtualClock,
} from '../../src/base/index.js';
import { temporaryFolder } from './temporary.js';

const clock = new VirtualClock();

async function linesOf(folder: string, name: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(folder, name), 'utf8');
  t.ok(text.endsWith('\n'), 'the last line is whole');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

t.test('each event is one JSON line, with time, level and the fields of its logger', async (t) => {
  const folder = join(await temporaryFolder(t), 'logs');
  const log = createLogger({ folder, clock, fields: { node: 'n1' } });
  log.info('node.started', { port: 7301 });
  log
    .child({ part: 'raft' })
    .warn('raft.slow', { error: new IdunnoError('DISK_FULL', 'no space') });
  log.debug('too.fine', {});
  await log.close();
  log.info('after.close');
  const lines = await linesOf(folder, 'node.log');
  t.equal(lines.length, 2);
  t.match(lines[0], { level: 'info', event: 'node.started', node: 'n1', port: 7301 });
  t.equal(lines[0]?.['time'], new Date(clock.wall()).toISOString());
  t.match(lines[1], {
    level: 'warn',
    part: 'raft',
    error: { code: 'DISK_FULL', message: 'no space' },
  });
});

t.test('full segments get a number, the oldest go, and no line is lost or moved', async (t) => {
  const folder = await temporaryFolder(t);
  const log = createLogger({ folder, clock, segmentBytes: 2000, segmentsKept: 3 });
  for (let n = 0; n < 300; n++) {
    log.info('tick', { n });
    if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await log.close();
  t.equal(log.dropped, 0);
  const names = (await readdir(folder)).sort((a, b) => numberOf(a) - numberOf(b));
  t.equal(names.length, 4);
  t.equal(names.at(-1), 'node.log');
  const numbers: unknown[] = [];
  for (const name of names) {
    for (const line of await linesOf(folder, name)) numbers.push(line['n']);
  }
  const first = Number(numbers[0]);
  t.same(
    numbers,
    Array.from({ length: 300 - first }, (_, i) => first + i),
  );
  const again = createLogger({ folder, clock, segmentBytes: 2000, segmentsKept: 3 });
  again.info('appended');
  await again.close();
  t.match((await linesOf(folder, 'node.log')).at(-1), { event: 'appended' });
});

/** The segment that is being written is the newest. */
function numberOf(name: string): number {
  const number = Number(name.split('.')[2]);
  return Number.isNaN(number) ? Number.POSITIVE_INFINITY : number;
}

t.test('a line beyond the bound is dropped and counted', async (t) => {
  const folder = await temporaryFolder(t);
  const log = createLogger({ folder, clock });
  log.info('huge', { text: 'x'.repeat(100_000) });
  log.info('small');
  await log.close();
  t.equal(log.dropped, 1);
  t.same(
    (await linesOf(folder, 'node.log')).map((line) => line['event']),
    ['small'],
  );
});

t.test('a folder that cannot be used is told with its path', async (t) => {
  const file = join(await temporaryFolder(t), 'file');
  await writeFile(file, '');
  const folder = join(file, 'logs');
  t.throws(() => createLogger({ folder, clock }), { code: 'DISK_ERROR', message: folder });
});

t.test('the memory logger keeps lines, of children too, within its bound', async (t) => {
  const log = createMemoryLogger(clock, 3);
  log.child({ node: 'n1' }).error('a', { x: 1 });
  t.same(log.lines, [
    { wallMs: clock.wall(), level: 'error', event: 'a', fields: { node: 'n1', x: 1 } },
  ]);
  for (let i = 0; i < 10; i++) log.info(`e${i}`);
  t.same(
    log.lines.map((line) => line.event),
    ['e7', 'e8', 'e9'],
  );
  createSilentLogger().child({}).error('nothing');
});
