/** A model's own code in real model hosts: what it may do, and what it costs when it misbehaves. */
import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { must } from '../../src/base/index.js';
import { ENV_COMMAND, hostCommand } from '../../src/idunno/model-host-walls.js';
import { createWatchedPool, itemOf } from './host-world.js';
import { makeModelFolder, makeTempDir, TINY_MANIFEST } from './model-folders.js';

const dir = makeTempDir();
t.teardown(() => rmSync(dir, { recursive: true }));
t.setTimeout(120_000);

/** More than a call that ends by itself takes on any machine; only loops ever wait for it. */
const PATIENT_MS = 10_000;
/** For code of which some calls end by themselves and some never do. */
const MIXED_MS = 2_000;
/** For code that does nothing but loop. */
const LOOPING_MS = 1_000;

interface Line {
  readonly item: number;
  readonly error?: string;
  readonly output?: unknown;
  readonly top?: unknown;
}

/** Postprocess sees the level of the picture in the scores of the tiny model. */
function makeCodeFolder(
  code: string,
  timeoutMs: number,
  files: Readonly<Record<string, string>> = {},
): string {
  const manifest = `${TINY_MANIFEST}code: code.js\ncodeTimeoutMs: ${timeoutMs}\n`;
  return makeModelFolder(dir, { manifest, files: { 'code.js': code, ...files } });
}

async function infer(
  t: Test,
  code: string,
  levels: readonly number[],
  { timeoutMs = PATIENT_MS, files = {} } = {},
) {
  const { pool, until } = createWatchedPool(t);
  pool.load({ name: 'tiny', revision: 1, dir: makeCodeFolder(code, timeoutMs, files) });
  await until('warm');
  const seat = must(pool.acquire('tiny', 1), 'a seat');
  const [pid] = pool.processes('tiny', 1);
  const result = await seat.infer(levels.map((level, at) => itemOf(at, level)));
  t.equal(pool.processes('tiny', 1)[0], pid, 'the process lives on');
  const text = Buffer.from(result.lines).toString();
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return { lines, failed: result.failed };
}

t.test('preprocess makes the numbers and postprocess the answer', async (t) => {
  const code = `
    import { scale } from './helper.mjs';
    import { readFileSync } from 'node:fs';
    const names = JSON.parse(readFileSync('names.json', 'utf8'));
    export function preprocess(image, facts) {
      const grey = new Float32Array(facts.width * facts.height);
      for (let at = 0; at < grey.length; at += 1) grey[at] = scale(image.data[4 * at]);
      return grey;
    }
    export function postprocess(output, { labels, input, width }) {
      if (input === 'i/1') return { top: [{ label: labels[1], score: 0.5 }] };
      return { name: names[0], shape: output.shape, count: output.data.length, width };
    }`;
  const files = { 'helper.mjs': 'export const scale = (v) => v;', 'names.json': '["rose"]' };
  const { lines, failed } = await infer(t, code, [10, 20], { files });
  t.equal(failed, 0);
  t.same(lines[0]?.output, { name: 'rose', shape: [3], count: 3, width: 2 });
  t.same(lines[1]?.top, [{ label: 'green', score: 0.5 }]);
});

t.test('code that throws, loops, waits, asks for foreign files or says nothing', async (t) => {
  const code = `
    import fs from 'node:fs';
    export function postprocess(output, { input }) {
      switch (input) {
        case 'i/0': throw new RangeError('no such flower');
        case 'i/1': for (;;) {}
        case 'i/2': return fs.readFileSync('/etc/passwd', 'utf8');
        case 'i/3': return require('node:fs').readFileSync('/etc/passwd');
        case 'i/4': return process.env;
        case 'i/5': return fetch('http://127.0.0.1:1/');
        case 'i/6': return Promise.resolve(1);
        case 'i/7': return undefined;
        case 'i/8': return { get top() { for (;;) {} } };
        case 'i/9': return fs.readFileSync('../' + 'x', 'utf8');
        default: return 'fine';
      }
    }`;
  const { lines, failed } = await infer(t, code, new Array<number>(11).fill(5), {
    timeoutMs: MIXED_MS,
  });
  t.equal(failed, 10);
  const errors = lines.map(({ error }) => error);
  t.match(errors[0], /^postprocess: RangeError: no such flower$/);
  t.match(errors[1], /^postprocess: it did not return within 2000 ms$/);
  t.match(errors[2], /EACCES: code may read only files of its own folder, not \/etc\/passwd/);
  t.match(errors[3], /require is not defined/);
  t.match(errors[4], /process is not defined/);
  t.match(errors[5], /fetch is not defined/);
  t.match(errors[6], /returned a promise/);
  t.match(errors[7], /nothing that JSON can hold/);
  t.match(errors[8], /did not return within 2000 ms/);
  t.match(errors[9], /EACCES/);
  t.same(lines[10], { ...lines[10], output: 'fine' });
});

t.test('a model whose every item loops is hurried after the third, and ends', async (t) => {
  const { lines, failed } = await infer(
    t,
    'export function preprocess() { for (;;) {} }',
    new Array<number>(20).fill(5),
    { timeoutMs: LOOPING_MS },
  );
  t.equal(failed, 20);
  t.match(lines[2]?.error, /within 1000 ms/);
  t.match(lines[3]?.error, /within 100 ms/);
});

t.test('preprocess that makes the wrong number of numbers fails its items', async (t) => {
  const { lines } = await infer(t, 'export const preprocess = () => [1, 2];', [5]);
  t.match(lines[0]?.error, /returned 2 numbers; the input takes 4/);
});

t.test('what cannot be linked is refused when it is loaded, with what to change', async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["import 'node:child_process';", /code may import .\/files .* not "node:child_process"/],
    ["import '../other/code.js';", /not "..\/other\/code.js"/],
    ["import { request } from 'http';", /not "http"/],
    ['export const a = 1;', /exports neither preprocess nor postprocess/],
    ['export function postprocess( {', /SyntaxError|Unexpected token/],
    ['for (;;) {}', /timed out|within/],
    ['await new Promise(() => undefined);', /did not come to its end within 2000 ms/],
    ["throw new Error('not today');", /not today/],
  ];
  for (const [code, expected] of cases) {
    const { pool, until } = createWatchedPool(t);
    pool.load({ name: 'tiny', revision: 1, dir: makeCodeFolder(code, MIXED_MS) });
    t.match(await until('failed'), expected, code);
    await pool.stop();
  }
});

t.test('a loop that hides in a promise is ended with its process, at the deadline', async (t) => {
  const code = `export function postprocess(output, { input }) {
    if (input === 'i/1') Promise.resolve().then(() => { for (;;) {} });
    return 1;
  }`;
  const { pool, until } = createWatchedPool(t, { inferTimeoutMs: 1_500 });
  pool.load({ name: 'tiny', revision: 1, dir: makeCodeFolder(code, PATIENT_MS) });
  for (let turn = 0; turn < 6; turn += 1) {
    await until('warm');
    const seat = must(pool.acquire('tiny', 1), 'a seat');
    await t.rejects(seat.infer([itemOf(1, 5)]), { code: 'MODEL_CRASHED' });
  }
  await until('warm');
  const seat = must(pool.acquire('tiny', 1), 'a seat, however often its inputs ended it');
  t.equal((await seat.infer([itemOf(0, 5)])).failed, 0);
});

t.test('the process itself may read nothing else, write nothing and start nothing', async (t) => {
  const folder = makeModelFolder(dir);
  const script = join(folder, 'probe.mjs');
  writeFileSync(
    script,
    `import { readFileSync, writeFileSync } from 'node:fs';
     import { spawnSync } from 'node:child_process';
     const attempts = {
       own: () => readFileSync(${JSON.stringify(join(folder, 'model.yaml'))}),
       passwd: () => readFileSync('/etc/passwd'),
       write: () => writeFileSync(${JSON.stringify(join(folder, 'new'))}, ''),
       spawn: () => spawnSync('true'),
     };
     const say = ([name, attempt]) => {
       try { attempt(); return name + ' done'; } catch (error) { return name + ' ' + error.code; }
     };
     console.log(Object.entries(attempts).map(say).join(', '));`,
  );
  const host = fileURLToPath(new URL('../../src/idunno/model-host.js', import.meta.url));
  const run = promisify(execFile);
  const { stdout } = await run(ENV_COMMAND, hostCommand(host, folder, script));
  const denied = 'ERR_ACCESS_DENIED';
  t.equal(stdout.trim(), `own done, passwd ${denied}, write ${denied}, spawn ${denied}`);
});
