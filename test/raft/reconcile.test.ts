/**
 * At boot the log and the state come from two databases: where they do not meet, the node starts
 * again, as one that may have lost something; it never guesses.
 */
import t from 'tap';
import { nodeId, VirtualClock } from '../../src/base/index.js';
import { MemoryLogStore } from '../../src/raft/index.js';
import { reconcile } from '../../src/raft/reconcile.js';
import { ListMachine } from './driver-world.js';
import { entryOf } from './harness.js';

const conf = { voters: [nodeId('n1')], outgoing: [], learners: [] };
const ORIGIN = { index: 0, term: 0, conf };

function machineAt(index: number, term = 2, isInstalled = false): ListMachine {
  const installed = isInstalled ? { index, term, conf } : undefined;
  return new ListMachine(new VirtualClock(), { commands: [], index, term, installed });
}

/** A log of entries 1 to `last`, cut off after `start`. */
async function logOf(last: number, start = 0): Promise<MemoryLogStore> {
  const log = new MemoryLogStore();
  await log.reset({ index: start, term: start === 0 ? 0 : 2, conf }, { term: 2, vote: undefined });
  const append = [];
  for (let index = start + 1; index <= last; index += 1) append.push(entryOf(index, 2));
  await log.write({ append });
  return log;
}

async function meet(log: MemoryLogStore, machine: ListMachine) {
  return reconcile(await log.load(), log, machine, ORIGIN);
}

t.test('a state within the log goes on from where it is', async (t) => {
  const { stored, doubt } = await meet(await logOf(9), machineAt(7));
  t.equal(doubt, undefined);
  t.match(stored, { applied: 7, snapshot: { index: 0 }, entries: { length: 9 } });
});

t.test('a snapshot that was installed before a crash moves the log there', async (t) => {
  const log = await logOf(9);
  const { stored, doubt } = await meet(log, machineAt(20, 3, true));
  t.equal(doubt, undefined);
  t.match(stored, { applied: 20, snapshot: { index: 20, term: 3 }, entries: [] });
  t.match(await log.load(), { snapshot: { index: 20, term: 3 }, entries: [] }, 'on disk too');
});

for (const [what, last, start, applied, reason] of [
  ['a state that is ahead of the log', 9, 0, 12, /has applied 12, but the log ends at 9/],
  ['a state that ends before the log begins', 9, 5, 3, /has applied 3, but the log begins after 5/],
] as const) {
  t.test(`${what} is given up, and the node is suspect`, async (t) => {
    const log = await logOf(last, start);
    const machine = machineAt(applied);
    const { stored, doubt } = await meet(log, machine);
    t.match(doubt, reason);
    t.match(stored, { applied: 0, snapshot: ORIGIN, entries: [], hardState: { term: 2 } });
    t.equal(machine.appliedIndex, 0, 'the state starts over');
    const again = await log.load();
    t.match(again.doubt, reason, 'and the doubt outlives another crash');
  });
}

t.test('a state without a log is a wiped node’s', async (t) => {
  const machine = machineAt(5);
  const { stored, wiped } = await meet(new MemoryLogStore(), machine);
  t.equal(stored, undefined);
  t.match(wiped, /has applied 5 entries, and the log is gone/);
  t.equal(machine.appliedIndex, 0);
  const fresh = await meet(new MemoryLogStore(), machineAt(0));
  t.same([fresh.stored, fresh.wiped], [undefined, undefined], 'nothing at all is a new node');
});
