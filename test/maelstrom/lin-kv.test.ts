/**
 * The Maelstrom adapter in one process, on a virtual clock: five nodes, clients at each, partitions
 * and losses by seed; what the clients saw has to be linearizable. Then the protocol, word by word.
 */
import t from 'tap';
import { createSeededRng, createSilentLogger, VirtualClock } from '../../src/base/index.js';
import { KvMachine } from './kv-machine.js';
import { LinKvNode } from './lin-kv-node.js';
import { type Body, parseEnvelope } from './protocol.js';
import { ALL_KEYS, Client, History, randomCut, Router } from './workload.js';

const NAMES = ['n0', 'n1', 'n2', 'n3', 'n4'];

function createWorld(seed: string, names: readonly string[] = NAMES) {
  const clock = new VirtualClock();
  const rng = createSeededRng(seed);
  const router = new Router(clock, rng.fork('router'));
  const fatals: Error[] = [];
  const nodes = names.map((name) => {
    const node = new LinKvNode({
      clock,
      rng: rng.fork(name),
      log: createSilentLogger(),
      send: (line) => router.route(line),
      onFatal: (error) => fatals.push(error),
    });
    router.addNode(name, (line) => node.onLine(line));
    return node;
  });
  const clients = names.map(
    (name, at) => new Client(`c${at}`, name, { router, clock, rng: rng.fork(`client ${at}`) }),
  );
  return { clock, rng, router, nodes, clients, fatals };
}

async function init(world: ReturnType<typeof createWorld>, names = NAMES): Promise<void> {
  const answers = await world.clock.runUntil(
    Promise.all(
      world.clients.map((client, at) =>
        client.ask({ type: 'init', node_id: names[at] ?? '', node_ids: names }),
      ),
    ),
  );
  for (const { type } of answers) if (type !== 'init_ok') throw new Error(type);
  const isReady = (): boolean => world.nodes.every(({ leader }) => leader !== undefined);
  for (let ms = 0; !isReady() && ms < 10_000; ms += 20) await world.clock.advanceSettled(20);
}

t.test('what clients see under partitions and losses is linearizable', async (t) => {
  const counts: Record<string, number> = {};
  for (let seed = 0; seed < 5; seed += 1) {
    const world = createWorld(`lin-kv ${seed}`);
    const { clock, router, clients, nodes, fatals } = world;
    await init(world);
    const history = new History();
    const rng = world.rng.fork('nemesis');
    let isEnding = false;
    const run = async (client: Client): Promise<void> => {
      while (!isEnding) {
        await client.operate(history);
        await clock.sleep(rng.float() * 20);
      }
    };
    const running = Promise.all(clients.map(run));
    for (let phase = 0; phase < 8; phase += 1) {
      router.cut(randomCut(NAMES, rng));
      router.loss = rng.int(2) === 0 ? 0 : 0.05;
      await clock.advanceSettled(500 + rng.int(1_500));
    }
    isEnding = true;
    router.cut(() => false);
    router.loss = 0;
    await clock.runUntil(running);
    // Healed: every node answers every key, and all of it belongs to the same history.
    await clock.advanceSettled(2_000);
    for (const client of clients) {
      for (const key of ALL_KEYS) {
        t.ok(await clock.runUntil(client.operate(history, 'read', key)), `${client.name} ${key}`);
      }
    }
    for (const [key, verdict] of history.verdicts()) {
      t.equal(verdict, 'linearizable', `seed ${seed}, key ${key}`);
    }
    t.same(fatals, []);
    for (const [what, count] of Object.entries(history.counts)) {
      counts[what] = (counts[what] ?? 0) + count;
    }
    await Promise.all(nodes.map((node) => node.stop()));
  }
  for (const what of ['read', 'write', 'cas ok', 'cas mismatch', 'refused', 'unknown']) {
    t.ok((counts[what] ?? 0) > 0, `${what}: ${counts[what] ?? 0}`);
  }
});

t.test('the protocol, with a cluster of one', async (t) => {
  const names = ['n1'];
  const world = createWorld('protocol', names);
  const { clock, clients } = world;
  const [client] = clients;
  if (client === undefined) throw new Error('a client');
  const ask = (body: Body) => clock.runUntil(client.ask(body));
  t.match(await ask({ type: 'read', key: 1 }), { type: 'error', code: 11 }, 'before init');
  t.match(await ask({ type: 'init', node_id: 'n1' }), { type: 'error', code: 12 });
  await init(world, names);
  for (const [asked, answer] of [
    [
      { type: 'read', key: 1 },
      { type: 'error', code: 20 },
    ],
    [
      { type: 'cas', key: 1, from: 1, to: 2 },
      { type: 'error', code: 20 },
    ],
    [{ type: 'write', key: 1, value: 3 }, { type: 'write_ok' }],
    [
      { type: 'read', key: 1 },
      { type: 'read_ok', value: 3 },
    ],
    [
      { type: 'cas', key: 1, from: 1, to: 2 },
      { type: 'error', code: 22 },
    ],
    [{ type: 'cas', key: 1, from: 3, to: 2 }, { type: 'cas_ok' }],
    [
      { type: 'read', key: 1 },
      { type: 'read_ok', value: 2 },
    ],
    [{ type: 'cas', key: 'new', from: 0, to: 7, create_if_not_exists: true }, { type: 'cas_ok' }],
    [
      { type: 'read', key: 'new' },
      { type: 'read_ok', value: 7 },
    ],
    [
      { type: 'write', key: 1 },
      { type: 'error', code: 12 },
    ],
    [
      { type: 'txn', key: 1 },
      { type: 'error', code: 10 },
    ],
    [{ type: 'echo' }, { type: 'error', code: 10 }],
  ] as const) {
    t.match(await ask(asked), answer, JSON.stringify(asked));
  }
  for (const node of world.nodes) {
    for (const line of ['', 'x', '[]', '{"src":"c1"}', '{"src":"c1","dest":"n1","body":{}}']) {
      node.onLine(line);
    }
    node.onLine('{"src":"n9","dest":"n1","body":{"type":"idunno","kind":"call","id":1}}');
    node.onLine('{"src":"n9","dest":"n1","body":{"type":"idunno","kind":"answer","id":7}}');
    await node.stop();
  }
  t.end();
});

t.test('a message is an object with two names and a typed body', (t) => {
  t.same(parseEnvelope('{"src":"a","dest":"b","body":{"type":"x"}}'), {
    src: 'a',
    dest: 'b',
    body: { type: 'x' },
  });
  for (const line of ['{', 'null', '{"src":"a","dest":"b","body":[]}', '{"src":1}']) {
    t.equal(parseEnvelope(line), undefined, line);
  }
  t.end();
});

t.test('an image moves all registers to another machine', async (t) => {
  const encode = (operation: unknown) => new TextEncoder().encode(JSON.stringify(operation));
  const machine = new KvMachine();
  const entry = { index: 1, term: 1, kind: 'command', timeMs: 0 } as const;
  machine.apply([{ ...entry, data: encode({ type: 'write', key: 'k', value: [1, 2] }) }]);
  const { index, term, open } = await machine.image();
  const other = new KvMachine();
  const meta = { index, term, conf: { voters: [], outgoing: [], learners: [] } };
  await t.rejects(other.installStaged(meta), 'nothing is staged');
  await other.stage(meta, open());
  t.match(other.read('k'), { code: 20 }, 'staged only');
  await other.installStaged(meta);
  t.match(other.read('k'), { type: 'read_ok', value: [1, 2] });
  t.equal(other.appliedIndex, 1);
});
