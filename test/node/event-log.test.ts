/** What a node writes into its log about leaders, nodes and tasks, and how much of it. */
import t from 'tap';
import { createMemoryLogger, type NodeId, nodeId, VirtualClock } from '../../src/base/index.js';
import { logLeaders, logState } from '../../src/node/event-log.js';
import type { RoleEvent } from '../../src/raft/index.js';
import { type Change, NODES } from '../../src/store/index.js';

type Listener = (changes: readonly Change[], index: number) => void;

function watched(isLeader: boolean) {
  const clock = new VirtualClock();
  const log = createMemoryLogger(clock);
  const listeners: Listener[] = [];
  const local = { onChanges: (listener: Listener) => listeners.push(listener) };
  logState({ local, isLeader: () => isLeader, clock, log });
  const apply = (changes: readonly Change[], index = 1): void => {
    for (const listener of listeners) listener(changes, index);
  };
  return { clock, log, apply };
}

function leaseOf(from: number): Change {
  const after = { job: 1, from, to: from + 1, attempt: 1, gen: 0, node: 'n2', epoch: 1, atMs: 5 };
  const table = { bucket: 25, name: 'leases' };
  return { table, key: [1, from, 1], before: undefined, after };
}

t.test('tasks are written by the leader alone', async (t) => {
  const follower = watched(false);
  follower.apply([leaseOf(0)]);
  t.same(follower.log.lines, []);
  const leader = watched(true);
  leader.apply([leaseOf(0)], 77);
  t.match(leader.log.lines, [{ event: 'task.leased', fields: { worker: 'n2', index: 77 } }]);
});

t.test('a flood of tasks costs a bounded number of lines, and the rest is counted', async (t) => {
  const { clock, log, apply } = watched(true);
  apply(Array.from({ length: 1_500 }, (_, from) => leaseOf(from)));
  t.equal(log.lines.length, 1_000);
  clock.advance(1_000);
  apply([leaseOf(2_000)]);
  t.match(log.lines.slice(1_000), [
    { level: 'warn', event: 'task.unlogged', fields: { lines: 500 } },
    { event: 'task.leased', fields: { task: 2_000 } },
  ]);
});

t.test('a node is told when its status or its boot changes, and only then', async (t) => {
  const { log, apply } = watched(false);
  const row = { name: 'n3', epoch: 4, status: 'up', flaps: 0, sinceMs: 9 };
  const change = (before: object | undefined, after: object): Change => {
    return { table: NODES, key: ['n3'], before, after };
  };
  apply([change(undefined, row)]);
  apply([change(row, { ...row, slots: 3 })]);
  apply([change(row, { ...row, status: 'down' })], 8);
  t.match(log.lines, [
    { event: 'node.change', fields: { name: 'n3', before: 'none', after: 'up', epoch: 4 } },
    { event: 'node.change', fields: { before: 'up', after: 'down', index: 8, atMs: 9 } },
  ]);
});

t.test('a leader is told once, and none when none is known', async (t) => {
  const log = createMemoryLogger();
  const listeners: ((event: RoleEvent) => void)[] = [];
  logLeaders({ onRole: (listener) => listeners.push(listener) }, log);
  const tell = (leader: NodeId | undefined, term: number): void => {
    for (const listener of listeners) {
      listener({ role: 'follower', term, leader, isReady: false });
    }
  };
  tell(undefined, 0);
  tell(nodeId('n1'), 1);
  tell(nodeId('n1'), 1);
  tell(undefined, 2);
  tell(undefined, 3);
  tell(nodeId('n2'), 3);
  t.same(
    log.lines.map(({ fields }) => fields),
    [
      { before: 'none', after: 'n1', term: 1 },
      { before: 'n1', after: 'none', term: 2 },
      { before: 'none', after: 'n2', term: 3 },
    ],
  );
});
