/**
 * Every classic and job command with what it cannot do: one sentence that says what is wrong and
 * what to type, the right exit code, and nothing changed.
 */
import t, { type Test } from 'tap';
import { ALL_COMMANDS } from '../../src/cli/commands/index.js';
import { CLASSIC_COMMANDS, usageOf } from '../../src/cli/classic/index.js';
import { ClassicWorld, jobOf } from './classic-world.js';
import { memberOf, type Ran } from './support.js';

/** Words that fit each command, in a cluster that has what they name. */
const GOOD: Readonly<Record<string, string>> = {
  put: 'here.txt there.txt',
  get: 'lenet.1.png out.png',
  delete: 'lenet.1.png',
  ls: 'lenet.1.png',
  'get-versions': 'lenet.1.png 1 out.txt',
  'populate-test-data': 'digits',
  upload_data: 'lenet.png 5',
  infer: 'lenet lenet.png 5',
  'add-job': 'lenet',
  'set-batch-size': 'lenet 5',
  C3: 'lenet 5',
  'start-job': 'lenet',
  'stop-job': 'lenet',
  C4: '1',
};

function createWorld(): ClassicWorld {
  const world = new ClassicWorld();
  world.files.set('lenet.1.png', ['x']);
  world.jobs.push(jobOf({ id: 1 }));
  world.settings.set('classic/ann/test-data', 'lenet');
  return world;
}

function checkRefused(t: Test, ran: Ran, code: number, text: RegExp, what: string): void {
  t.equal(ran.code, code, `${what}: ${ran.stderr}`);
  t.match(ran.stderr, text, what);
  t.match(ran.stderr, /^error: /, what);
  t.equal(ran.stdout, '', what);
}

t.test('without words, or with too many, it says how the command is written', async (t) => {
  for (const command of CLASSIC_COMMANDS) {
    const { name, args } = command;
    const world = createWorld();
    const before = world.snapshot();
    const many = [name, ...args, 'more'].join(' ');
    const wrong = (command.required ?? args.length) > 0 ? [name, many] : [many];
    for (const line of wrong) {
      const shown = await world.shell([`$${line}`]);
      t.equal(shown.stderr.trimEnd().split('\n').length, 1, `one sentence for "${line}"`);
      t.ok(shown.stderr.includes(`write ${usageOf(command)}`), shown.stderr);
      checkRefused(t, shown, 2, /takes (no|\d|\d to \d) arguments?, not \d/, line);
      const once = await world.run(['classic', ...line.split(' ')]);
      checkRefused(t, once, 2, /write: idunno classic /, `classic ${line}`);
    }
    t.equal(world.snapshot(), before, `${name} changed nothing`);
  }
});

t.test('the job commands say how they are written, too', async (t) => {
  for (const { noun, verb, args = [] } of ALL_COMMANDS) {
    if (noun !== 'job') continue;
    const world = createWorld();
    const before = world.snapshot();
    const required = args.filter((arg) => arg.optional !== true && arg.variadic !== true);
    const words = args.map(() => '1');
    const wrong = [[...words, '1', '1'], ...(required.length > 0 ? [[]] : [])];
    for (const each of wrong) {
      const ran = await world.run(['job', verb, ...each, '--yes']);
      checkRefused(t, ran, 2, /write: idunno job /, `job ${verb} ${each.join(' ')}`);
    }
    t.equal(world.snapshot(), before);
  }
});

/** Lines at a prompt where nothing of what they name exists. */
const UNKNOWN: readonly (readonly [line: string, code: number, text: RegExp])[] = [
  ['get nothing out', 3, /no file "nothing".*idunno file list/],
  ['get-versions nothing 2 out', 3, /no file "nothing"/],
  ['delete nothing', 3, /no file "nothing"/],
  ['ls nothing', 3, /no file "nothing"/],
  ['put nothing x', 3, /nothing: it does not exist.*check the path/],
  ['populate-test-data nothing', 3, /nothing: it does not exist/],
  ['upload_data nothing.png 5', 3, /no file like nothing\.\*\.png in /],
  ['upload_data lenet.png 5 nowhere', 3, /cannot read the folder .*nowhere/],
  ['infer nonet lenet.png 5', 3, /no model "nonet"/],
  ['infer lenet nothing.png 5', 1, /no file matches nothing\.png/],
  ['add-job nonet', 3, /no model "nonet": there is lenet, resnet/],
  ['set-batch-size nonet 5', 3, /no model "nonet"/],
  ['set-batch-size 99 5', 3, /no job 99/],
  ['start-job nonet', 3, /no job of model "nonet" is open: type job_info/],
  ['stop-job nonet', 3, /no job of model "nonet" is open/],
  ['stop-job 99', 3, /no job 99.*idunno job ls/],
  ['C4 99', 3, /no job 99/],
  ['C4 lenet', 2, /the job takes a whole number/],
  ['job show 99', 3, /no job 99/],
  ['job set-batch-size 99 5', 3, /no job 99/],
  ['$infr lenet lenet.png 5', 2, /unknown command "infr"; did you mean "infer"\?/],
];

t.test('names that do not exist', async (t) => {
  const cwd = t.testdir({});
  for (const [line, code, text] of UNKNOWN) {
    const world = createWorld();
    world.files.delete('lenet.1.png');
    world.files.set('other', ['x']);
    const before = world.snapshot();
    checkRefused(t, await world.shell([line], cwd), code, text, line);
    t.equal(world.snapshot(), before, `${line} changed nothing`);
  }
});

t.test('batch sizes that are none', async (t) => {
  for (const size of ['0', '-1', 'x', '1000000000', '1.5', '']) {
    const world = createWorld();
    const before = world.snapshot();
    const word = size === '' ? '""' : size;
    for (const line of [
      `infer lenet lenet.png ${word}`,
      `set-batch-size lenet ${word}`,
      `C3 lenet ${word}`,
      `job set-batch-size 1 ${word}`,
      `job submit lenet --prefix lenet --batch-size ${word}`,
    ]) {
      const ran = await world.shell([line]);
      checkRefused(t, ran, 2, /takes a whole number from 1 to 10000, not "/, line);
    }
    for (const line of [`infer lenet lenet.png`, `set-batch-size lenet`]) {
      const ran = await world.run(['classic', ...line.split(' '), size]);
      checkRefused(t, ran, 2, /takes a whole number from 1 to 10000/, `classic ${line} ${size}`);
    }
    t.equal(world.snapshot(), before, `${size} changed nothing`);
  }
  const world = createWorld();
  const counts = ['get-versions lenet.1.png 0 out', 'upload_data lenet.png -3'];
  for (const line of counts) {
    checkRefused(t, await world.shell([line]), 2, /takes a whole number from 1 to/, line);
  }
});

t.test('on a node that has left', async (t) => {
  for (const { name } of CLASSIC_COMMANDS) {
    if (name === 'join' || name === 'list_self') continue;
    const world = createWorld();
    world.members = [memberOf('n1', 'left'), memberOf('n2')];
    const before = world.snapshot();
    const line = `${name} ${GOOD[name] ?? ''}`.trim();
    const ran = await world.shell([line]);
    checkRefused(t, ran, 1, /n1 has left the group: type join to let it join again/, line);
    t.equal(world.snapshot(), before, `${line} changed nothing`);
  }
  for (const line of JOB_LINES) {
    const world = createWorld();
    world.members = [memberOf('n1', 'left'), memberOf('n2')];
    const before = world.snapshot();
    const ran = await world.run([...line.split(' '), '--node', 'n1', '--yes']);
    checkRefused(t, ran, 1, /n1 has left the group.*\n.*idunno member join/, line);
    t.equal(world.snapshot(), before, `${line} changed nothing`);
  }
});

const JOB_LINES = [
  'job submit lenet --prefix lenet',
  'job wait 1',
  'job ls',
  'job show 1',
  'job stats',
  'job fairness',
  'job explain 1',
  'job pause 1',
  'job resume 1',
  'job cancel 1',
  'job set-batch-size 1 5',
  'job tasks 1',
  'job results 1',
  'job verify 1',
];

t.test('while there is no leader', async (t) => {
  const needNone = ['join', 'leave', 'list_mem', 'list_self'];
  for (const { name } of CLASSIC_COMMANDS) {
    if (needNone.includes(name)) continue;
    const world = createWorld();
    world.hasLeader = false;
    const before = world.snapshot();
    const line = `${name} ${GOOD[name] ?? ''}`.trim();
    const ran = await world.shell([line]);
    checkRefused(t, ran, 4, /the cluster has had no leader for 0\.2 s.*idunno status/, line);
    t.equal(world.snapshot(), before, `${line} changed nothing`);
  }
  for (const line of JOB_LINES) {
    const world = createWorld();
    world.hasLeader = false;
    const before = world.snapshot();
    const ran = await world.run([...line.split(' '), '--timeout', '0.1', '--yes']);
    checkRefused(t, ran, 4, /the cluster has had no leader for 0\.1 s/, line);
    t.equal(world.snapshot(), before, `${line} changed nothing`);
  }
  const world = createWorld();
  world.hasLeader = false;
  t.equal((await world.shell(['list_self', 'list_mem', 'leave', 'join'])).code, 0);
});

t.test('one command that acts on a node must name it', async (t) => {
  for (const verb of ['join', 'leave']) {
    const world = createWorld();
    const before = world.snapshot();
    const ran = await world.run(['classic', verb]);
    checkRefused(t, ran, 2, /which node is to (join|leave)\? Name it: --node NAME/, verb);
    t.equal(world.snapshot(), before);
    t.equal((await world.run(['classic', verb, '--node', 'n1'])).code, 0);
  }
});

t.test('every job command is among those that are tried', async (t) => {
  const verbs = ALL_COMMANDS.filter(({ noun }) => noun === 'job').map(({ verb }) => verb);
  const tried = JOB_LINES.map((line) => line.split(' ')[1]);
  t.same(
    verbs.filter((verb) => !tried.includes(verb)),
    [],
  );
  const words = CLASSIC_COMMANDS.filter(({ args }) => args.length > 0).map(({ name }) => name);
  t.same(
    words.filter((name) => GOOD[name] === undefined),
    [],
  );
});
