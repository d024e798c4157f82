/** Model hosts as real processes: loading, running, crashing, hanging, being unloaded. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { must } from '../../src/base/index.js';
import { createWatchedPool, itemOf } from './host-world.js';
import { greyImage, makeModelFolder, makeTempDir } from './model-folders.js';

const dir = makeTempDir();
t.teardown(() => rmSync(dir, { recursive: true }));
t.setTimeout(120_000);

t.test(
  'a model is loaded, warmed up, runs at low priority, and is gone when unloaded',
  async (t) => {
    const { pool, until } = createWatchedPool(t);
    pool.load({ name: 'tiny', revision: 1, dir: makeModelFolder(dir) });
    t.equal(pool.acquire('tiny', 1), undefined, 'not before it is warm');
    await until('warm');
    const pid = must(pool.processes('tiny', 1)[0], 'a process');
    t.equal(nicenessOf(pid), 10);
    const seat = must(pool.acquire('tiny', 1), 'a seat');
    t.equal(pool.acquire('tiny', 1), undefined, 'one slot, one task');
    const both = await Promise.all([seat.infer([itemOf(0, 10)]), seat.infer([itemOf(1, 20)])]);
    t.same(both.map(topLabel), ['red', 'red']);
    seat.release();
    t.ok(pool.acquire('tiny', 1));
    pool.unload('tiny', 1);
    await gone(pid);
    t.equal(pool.acquire('tiny', 1), undefined);
  },
);

t.test('a folder that cannot be used is reported as failed, with the reason', async (t) => {
  const { pool, until } = createWatchedPool(t);
  pool.load({ name: 'bad', revision: 1, dir: makeModelFolder(dir, { labels: 'one\n' }) });
  const error = await until('failed');
  t.match(error, /3 classes, labels.txt has 1 labels/);
});

t.test('a host that is killed costs its task, and the model is soon warm again', async (t) => {
  const { pool, until } = createWatchedPool(t);
  pool.load({ name: 'loop', revision: 1, dir: makeModelFolder(dir, { weights: 'loop' }) });
  await until('warm');
  const pid = must(pool.processes('loop', 1)[0], 'a process');
  const seat = must(pool.acquire('loop', 1), 'a seat');
  const endless = seat.infer([itemOf(0, 200)]);
  process.kill(pid, 'SIGKILL');
  await t.rejects(endless, { code: 'MODEL_CRASHED', message: /SIGKILL/ });
  await until('warm');
  t.not(pool.processes('loop', 1)[0], pid);
  const again = must(pool.acquire('loop', 1), 'a seat');
  t.equal((await again.infer([itemOf(0, 0)])).failed, 0);
});

t.test('a run that never returns is ended at its time bound', async (t) => {
  const { pool, until } = createWatchedPool(t, { inferTimeoutMs: 300 });
  pool.load({ name: 'loop', revision: 1, dir: makeModelFolder(dir, { weights: 'loop' }) });
  await until('warm');
  const seat = must(pool.acquire('loop', 1), 'a seat');
  const pid = must(pool.processes('loop', 1)[0], 'a process');
  await t.rejects(seat.infer([itemOf(0, 200)]), { message: /did not answer within 300 ms/ });
  await gone(pid);
});

t.test('a host does not outlive its node, not even inside an endless run', async (t) => {
  const folder = makeModelFolder(dir, { weights: 'loop' });
  const image = `${folder}/image.png`;
  writeFileSync(image, greyImage(200));
  const script = fileURLToPath(new URL('./host-parent.js', import.meta.url));
  const parent = spawn(process.execPath, [script, folder, image], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((resolve, reject) => {
    parent.stdout.once('data', (text: Buffer) => resolve(Number(text.toString())));
    parent.once('exit', () => reject(new Error('the parent ended too early')));
  });
  t.ok(existsSync(`/proc/${pid}`), 'the host runs');
  parent.removeAllListeners('exit');
  parent.kill('SIGKILL');
  await gone(pid);
});

function topLabel(result: { lines: Uint8Array }): string {
  const line = JSON.parse(Buffer.from(result.lines).toString()) as { top: [{ label: string }] };
  return line.top[0].label;
}

/** Field 19 of stat(5); the name in field 2 may hold anything, so count from behind it. */
function nicenessOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
}

/** Waits for the kernel to say that the process is gone, or only waits to be reaped. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    if (!existsSync(`/proc/${pid}`)) return;
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    if (stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
