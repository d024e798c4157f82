/**
 * Five processes of `idunno-maelstrom`, as Maelstrom would start them: lines on stdin and stdout,
 * a router between them that delays, loses and cuts, clients that do a number of operations, and
 * the checker's verdict. Nothing here depends on how fast the machine is.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { createRealClock, createSeededRng } from '../../src/base/index.js';
import { projectRoot } from '../raft/root.js';
import { ALL_KEYS, Client, History, randomCut, Router } from './workload.js';

const NAMES = ['n0', 'n1', 'n2', 'n3', 'n4'];
const COMMAND = join(projectRoot(), 'test/maelstrom/idunno-maelstrom');
/** Operations with an answer; the links change after every fifth of them. */
const ANSWERED = 250;
const GUARD_MS = 60_000;

t.test('five processes over a bad network are linearizable', async (t) => {
  const clock = createRealClock();
  const rng = createSeededRng('processes');
  const router = new Router(clock, rng.fork('router'));
  const children = NAMES.map((name) => start(name, router));
  t.teardown(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  const parts = { router, clock, rng: rng.fork('clients') };
  const clients = NAMES.map((name, at) => new Client(`c${at}`, name, parts));
  const inits = clients.map((client, at) =>
    // A process has to start first, and on a busy machine that takes longer than an operation may.
    client.ask({ type: 'init', node_id: NAMES[at] ?? '', node_ids: NAMES }, GUARD_MS),
  );
  for (const { type } of await Promise.all(inits))
    t.equal(type, 'init_ok', 'a node is initialised');

  const history = new History();
  const deadline = clock.now() + GUARD_MS;
  let answered = 0;
  const run = async (client: Client): Promise<void> => {
    while (answered < ANSWERED && clock.now() < deadline) {
      if (await client.operate(history)) {
        answered += 1;
        if (answered % (ANSWERED / 5) === 0) router.cut(randomCut(NAMES, rng));
      } else {
        await clock.sleep(20);
      }
    }
  };
  router.loss = 0.02;
  await Promise.all(clients.map(run));
  t.ok(answered >= ANSWERED, `${answered} operations were answered`);

  router.loss = 0;
  router.cut(() => false);
  for (const client of clients) {
    for (const key of ALL_KEYS) {
      while (!(await client.operate(history, 'read', key)) && clock.now() < deadline) {
        await clock.sleep(50);
      }
    }
  }
  for (const [key, verdict] of history.verdicts()) t.equal(verdict, 'linearizable', `key ${key}`);
  t.ok(router.lost > 0, `${router.lost} messages of ${router.carried + router.lost} were lost`);
  t.comment(JSON.stringify(history.counts));

  // Maelstrom ends a node by closing its stdin.
  for (const child of children) {
    const ended = once(child, 'exit');
    child.stdin.end();
    const [code] = await ended;
    t.equal(code, 0, 'a node ends in good order');
  }
});

function start(name: string, router: Router): ChildProcessWithoutNullStreams {
  const child = spawn(COMMAND, [], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stderr.resume();
  createInterface({ input: child.stdout }).on('line', (line) => router.route(line));
  router.addNode(name, (line) => {
    if (child.stdin.writable) child.stdin.write(`${line}\n`);
  });
  return child;
}
