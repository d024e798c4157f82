/** When rows go to the disk: together, after a while, and all of them before the end. */
import t from 'tap';
import {
  createSilentLogger,
  MemoryDatabases,
  MemoryDisk,
  VirtualClock,
} from '../../src/base/index.js';
import type { Entry } from '../../src/raft/index.js';
import { encodeCommand, joinCommands } from '../../src/store/command.js';
import { StateMachine } from '../../src/store/state-machine.js';
import { counterModule } from './counter-module.js';

/** Longer than rows wait. */
const A_WHILE_MS = 1_000;

async function machineWith(clock: VirtualClock) {
  const databases = new MemoryDatabases();
  const fatals: Error[] = [];
  const state = await StateMachine.open(
    { folder: '/state', modules: [counterModule] },
    {
      disk: new MemoryDisk(),
      log: createSilentLogger(),
      openDatabase: (path) => databases.open(path),
      onFatal: (error) => fatals.push(error),
      clock,
    },
  );
  const durable: number[] = [];
  state.onDurable((index) => durable.push(index));
  return { state, databases, fatals, durable };
}

function entry(index: number): Entry {
  const command = { session: 0, seq: 0, ackedBelow: 0, name: 'settings.put', args: ['k', 'v'] };
  return {
    index,
    term: 1,
    kind: 'command',
    timeMs: index,
    data: joinCommands([encodeCommand(command)]),
  };
}

/** What the disk does between two turns. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

t.test('rows of several groups go to the disk in one batch, after a while', async (t) => {
  const clock = new VirtualClock();
  const { state, durable } = await machineWith(clock);
  state.apply([entry(1)]);
  state.apply([entry(2)]);
  await settle();
  t.same(durable, [], 'nothing yet');
  t.equal(state.appliedIndex, 0);
  t.equal(state.position.index, 2, 'applied all the same');
  clock.advance(A_WHILE_MS);
  await settle();
  t.same(durable, [2], 'both at once');
  state.apply([entry(3)]);
  clock.advance(A_WHILE_MS);
  await settle();
  t.same(durable, [2, 3]);
  await state.close();
});

t.test('closing writes what waits, without waiting for its time', async (t) => {
  const clock = new VirtualClock();
  const { state, durable } = await machineWith(clock);
  state.apply([entry(1), entry(2)]);
  await state.close();
  t.same(durable, [2]);
});

t.test('a disk that fails is told once, and closing does not wait for it', async (t) => {
  const clock = new VirtualClock();
  const { state, databases, fatals } = await machineWith(clock);
  databases.failWrites('DISK_FULL');
  state.apply([entry(1)]);
  clock.advance(A_WHILE_MS);
  await settle();
  t.match(fatals, [{ code: 'DISK_FULL' }]);
  await state.close();
  t.equal(fatals.length, 1);
  t.equal(state.appliedIndex, 0);
});
