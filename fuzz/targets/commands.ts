/**
 * src/store, src/sdfs, src/idunno: entries of the log against two replicas of the state machine, which
 * apply them in different groups. A case is `u16 length | entry`, again and again. Whatever an entry
 * holds: each command is done or refused with a code, what is refused changes nothing, and the
 * replicas stay equal.
 */
import { createSilentLogger, MemoryDatabases, MemoryDisk, type Rng } from '../../src/base/index.js';
import { writeReport } from '../../src/idunno/protocol.js';
import { idunnoModule } from '../../src/idunno/module.js';
import { encode, type Wire } from '../../src/net/index.js';
import type { Entry } from '../../src/raft/index.js';
import { sdfsModule } from '../../src/sdfs/index.js';
import {
  encodeCommand,
  encodeOutcome,
  joinCommands,
  type Outcome,
} from '../../src/store/command.js';
import { coreModule } from '../../src/store/core-module.js';
import { StateMachine } from '../../src/store/index.js';
import type { FuzzTarget } from '../types.js';
import { dictionaryOf, pick, randomWire } from './support.js';

const ENTRIES_MAX = 24;
const MODULES = [sdfsModule, idunnoModule];
const NAMES = [coreModule, ...MODULES].flatMap(({ commands }) => Object.keys(commands));
const SHA = 'c'.repeat(64);

type Args = readonly Wire[];
const small = (rng: Rng): number => rng.int(4);
const node = (rng: Rng): string => `n${1 + rng.int(3)}`;
const file = (rng: Rng): string => pick(rng, ['f', 'g', 'models/m/model.onnx']);
const triple = (rng: Rng): Args => [1 + small(rng), node(rng), 1];

/** Arguments that fit, so that there is something to work on. */
const FITTING: Readonly<Record<string, (rng: Rng) => Args>> = {
  'settings.put': (rng) => [pick(rng, ['k', 'l']), 'v', pick(rng, [null, 0, 3])],
  'settings.putMany': (rng) => [
    ['k', 'v'],
    ['m', 'w', small(rng)],
  ],
  'settings.delete': () => ['k'],
  'nodes.register': (rng) => [
    { name: node(rng), epoch: 1 + rng.int(2), host: 'h', port: 1, slots: 1, bootWallMs: 0 },
  ],
  'nodes.mark': (rng) => [
    { name: node(rng), epoch: 1, status: pick(rng, ['up', 'down', 'left', 'draining']) },
  ],
  'sdfs.begin': (rng) => [rng.int(2) === 0, 1 + rng.int(4), ['n1', 'n2']],
  'sdfs.renew': (rng) => [1 + small(rng)],
  'sdfs.abort': (rng) => [1 + small(rng)],
  'sdfs.expire': (rng) => [[1 + small(rng)]],
  'sdfs.commit': (rng) => [1 + small(rng), SHA, 5, [[node(rng), 1]], [[file(rng), 5, SHA, 0]]],
  'sdfs.delete': (rng) => [file(rng)],
  'sdfs.prune': (rng) => [file(rng), 10 ** 6],
  'sdfs.add-holders': (rng) => [1, [triple(rng)]],
  'sdfs.drop-holders': (rng) => [
    pick(rng, ['missing', 'corrupt', 'surplus', 'gone']),
    [[1 + small(rng), node(rng)]],
  ],
  'sdfs.forget': () => [10 ** 6, 10],
  'idunno.model.deploy': (rng) => ['m', 'text', [[file(rng), 1, 5]], pick(rng, [null, 'all', 2])],
  'idunno.model.undeploy': () => ['m'],
  'idunno.model.remove': () => ['m'],
  'idunno.model.assign': (rng) => [[['m', 1 + rng.int(2), node(rng), 1]], [], []],
  'idunno.node.lost': (rng) => [node(rng), 1, pick(rng, ['down', 'left'])],
  'idunno.lease.release': (rng) => [[[1, 10 * small(rng), 1]], pick(rng, ['recall', 'expired'])],
  'idunno.job.create': (rng) => [
    {
      model: 'm',
      manifest: 'f',
      manifestVersion: 1,
      items: 1 + rng.int(50),
      batch: 1 + rng.int(10),
      weight: 1,
      repeat: 1 + rng.int(2),
      owner: 'o',
      label: '',
      maxFailed: pick(rng, [null, 3]),
      paused: rng.int(4) === 0,
    },
  ],
  'idunno.job.pause': (rng) => [1 + rng.int(2)],
  'idunno.job.resume': (rng) => [1 + rng.int(2)],
  'idunno.job.cancel': (rng) => [1 + rng.int(2)],
  'idunno.job.give-up': (rng) => [1 + rng.int(2), 'no worker could load it'],
  'idunno.job.set-batch-size': (rng) => [1 + rng.int(2), 1 + rng.int(20)],
  'idunno.job.sweep': (rng) => [1 + rng.int(2)],
  'idunno.results.compacted': (rng) => [1, small(rng), 'results/1', 1, 5, [[0, 0, 5]]],
  'idunno.work': (rng) => [[report(rng)], []],
};

function report(rng: Rng): Wire {
  const lines = Buffer.from('{"item":0}\n');
  const lease = { job: 1, from: 10 * small(rng), attempt: 1 };
  const done = { ...lease, gen: 1, micros: 5, hash: SHA, bytes: lines.length, output: lines };
  return writeReport({
    node: node(rng),
    epoch: 1,
    seq: 1 + rng.int(5),
    held: [],
    done: rng.int(2) === 0 ? [] : [{ ...done, failed: 0, named: [] }],
    failed: rng.int(4) > 0 ? [] : [{ ...lease, kind: 'host', reason: 'r', line: lines }],
    returned: [],
    want: rng.int(3),
    models: [{ name: 'm', revision: 1, state: 'warm', error: null }],
    catalog: '',
  });
}

function command(rng: Rng, name: string): Uint8Array {
  const args = [...(FITTING[name]?.(rng) ?? [])];
  if (rng.int(4) === 0) args[rng.int(args.length + 1)] = randomWire(rng);
  const session = rng.int(5) === 0 ? 1 + small(rng) : 0;
  const request = { session, seq: 1 + small(rng), ackedBelow: small(rng), name };
  return encodeCommand({ ...request, args: args.map((arg) => arg ?? null) });
}

/** What most commands need to be there. */
const BASIS: readonly string[] = [
  'nodes.register',
  'nodes.register',
  'sdfs.begin',
  'sdfs.commit',
  'idunno.model.deploy',
  'idunno.model.assign',
  'idunno.work',
  'idunno.job.create',
  'idunno.work',
];

function framed(entries: readonly Uint8Array[]): Uint8Array {
  const sizes = entries.map(({ length }) => Uint8Array.of(length >> 8, length & 0xff));
  return Uint8Array.from(
    Buffer.concat(entries.flatMap((entry, at) => [sizes[at] ?? entry, entry])),
  );
}

function entriesOf(input: Uint8Array): Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + 2 <= input.length && entries.length < ENTRIES_MAX; ) {
    const start = at + 2;
    at = start + ((input[at] ?? 0) << 8) + (input[at + 1] ?? 0);
    const index = entries.length + 1;
    const data = input.slice(start, at);
    entries.push({ index, term: 1, kind: 'command', timeMs: 1_000 * index, data });
  }
  return entries;
}

function openMachine(): Promise<StateMachine> {
  const databases = new MemoryDatabases();
  return StateMachine.open(
    { folder: '/state', modules: MODULES },
    {
      disk: new MemoryDisk(),
      log: createSilentLogger(),
      openDatabase: (path) => databases.open(path),
      onFatal: (error) => {
        throw error;
      },
    },
  );
}

/** One entry at a time; throws where a refusal is no refusal. */
function applyEach(machine: StateMachine, entries: readonly Entry[]): readonly Outcome[] {
  let changed = 0;
  machine.onChanges((changes) => {
    changed = changes.length;
  });
  return entries.flatMap((entry) => {
    const outcomes = machine.apply([entry]).flat();
    for (const outcome of outcomes) {
      if (!outcome.ok && outcome.error.code === 'INTERNAL') throw outcome.error;
    }
    const isAllRefused = outcomes.every(({ ok }) => !ok);
    if (isAllRefused && changed > 0) {
      throw new Error(`entry ${entry.index} was refused and changed ${changed} rows`);
    }
    return outcomes;
  });
}

export const commands: FuzzTarget = {
  name: 'commands',
  summary: 'log entries against two replicas of the state (src/store, src/sdfs, src/idunno)',
  cases: 10_000,
  casesInTests: 250,
  isSampleLoose: true,
  dictionary: [
    ...dictionaryOf(...NAMES),
    ...[0, -1, 2 ** 53 - 1, 0.5, '', null, [], {}].map((value) => encode(value as Wire)),
  ],
  sample(rng) {
    const more = Array.from({ length: 1 + rng.int(8) }, () => pick(rng, NAMES));
    const basis = BASIS.map((name) => joinCommands([command(rng, name)]));
    const rest = more.map((name) => {
      const group = rng.int(3) === 0 ? [name, pick(rng, NAMES)] : [name];
      return joinCommands(group.map((each) => command(rng, each)));
    });
    return framed([...basis, ...rest]);
  },
  async check(input) {
    const entries = entriesOf(input);
    const [one, other] = [await openMachine(), await openMachine()];
    try {
      const outcomes = applyEach(one, entries);
      const half = Math.floor(entries.length / 2);
      const groups = [entries.slice(0, half), entries.slice(half)].filter((g) => g.length > 0);
      const others = groups.flatMap((group) => other.apply(group)).flat();
      for (const [at, outcome] of outcomes.entries()) {
        const twin = others[at];
        const isSame = twin && Buffer.compare(encodeOutcome(outcome), encodeOutcome(twin)) === 0;
        if (isSame !== true) throw new Error(`outcome ${at} differs between replicas`);
      }
      const [a, b] = [one.stateSum(), other.stateSum()];
      if (a.sum !== b.sum) throw new Error(`the rows differ: ${a.sum} and ${b.sum}`);
      const lost = await one.scrub();
      if (lost !== undefined) throw new Error(lost);
      return outcomes.some(({ ok }) => ok) ? 'accepted' : 'refused';
    } finally {
      await Promise.all([one.close(), other.close()]);
    }
  },
};
