/** The parts of the simulation that judge: would they notice? */
import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import { withoutMachine } from '../../src/sim/guard.js';
import type { Operation } from '../../src/sim/history.js';
import { Linearizable } from '../../src/sim/invariants/linearizable.js';
import { decodeWrite, EMPTY_IMAGE, encodeWrite, RegisterMachine } from '../../src/sim/machine.js';
import { parseOptions } from '../../src/sim/options.js';
import { Trace } from '../../src/sim/trace.js';
import { entryOf } from '../raft/harness.js';

t.test('inside a run the machine has no time and no chance, afterwards it has', (t) => {
  for (const [name, use] of [
    ['Date.now', () => Date.now()],
    ['Math.random', () => Math.random()],
    ['performance.now', () => performance.now()],
    ['crypto.randomUUID', () => crypto.randomUUID()],
    ['setTimeout', () => setTimeout(() => {}, 1)],
  ] as const) {
    t.throws(() => withoutMachine<unknown>(use), new RegExp(name.replace('.', '\\.')));
  }
  t.ok(Date.now() > 0 && Math.random() < 1 && performance.now() > 0);
  t.end();
});

/** A history in the order of calls (`outcome` undefined) and returns. */
class History {
  readonly #judge = new Linearizable();
  #id = 0;

  call(kind: Operation['kind'], value = 0): Operation {
    this.#id += 1;
    const operation: Operation = {
      id: this.#id,
      client: 'a',
      kind,
      register: 0,
      value,
      calledAt: 0,
      returnedAt: undefined,
      outcome: undefined,
      index: 0,
      at: nodeId('n1'),
    };
    this.#judge.onOperation(operation);
    return operation;
  }

  return(operation: Operation, index: number, value = operation.value): void {
    operation.outcome = 'done';
    operation.index = index;
    operation.value = value;
    this.#judge.onOperation(operation);
  }
}

t.test('a read that misses a write which had returned is found', (t) => {
  const history = new History();
  history.return(history.call('write', 1), 5);
  const read = history.call('read');
  t.throws(() => history.return(read, 0), /had returned before it was called/);
  t.end();
});

t.test('a read that goes back behind another read is found', (t) => {
  const history = new History();
  const write = history.call('write', 1);
  history.return(history.call('read'), 5, 1);
  const read = history.call('read');
  t.throws(() => history.return(read, 0), /had returned/, 'also while the write is pending');
  t.equal(write.outcome, undefined);
  t.end();
});

t.test('concurrent operations may take effect in either order', (t) => {
  const history = new History();
  const write = history.call('write', 1);
  const [early, late] = [history.call('read'), history.call('read')];
  history.return(late, 5, 1);
  history.return(early, 0);
  history.return(write, 5);
  t.end();
});

t.test('a value that nobody wrote is found, and a write behind one that had returned', (t) => {
  const history = new History();
  const read = history.call('read');
  t.throws(() => history.return(read, 3, 77), /nobody wrote/);
  history.return(history.call('write', 1), 5);
  const write = history.call('write', 2);
  t.throws(() => history.return(write, 4), /had returned/);
  t.end();
});

t.test('a write survives its encoding, and machines with one history have one digest', (t) => {
  const write = { register: 2, value: 1_234_567 };
  t.same(decodeWrite(encodeWrite(write)), write);
  const [a, b] = [new RegisterMachine(EMPTY_IMAGE), new RegisterMachine(EMPTY_IMAGE)];
  a.apply({ ...entryOf(1, 1), data: encodeWrite(write) });
  t.not(a.digest, b.digest);
  t.same(a.read(2), { value: 1_234_567, index: 1 });
  const restored = new RegisterMachine(a.image());
  t.same([restored.digest, restored.read(2)], [a.digest, a.read(2)]);
  t.throws(() => a.apply(entryOf(3, 1)), /after 1/);
  t.end();
});

t.test('the hash of a trace depends on every line and on their order', (t) => {
  const hashOf = (...texts: string[]): string => {
    const trace = new Trace();
    for (const text of texts) trace.note(0, 'nemesis', text);
    return trace.hash;
  };
  t.equal(hashOf('a', 'b'), hashOf('a', 'b'));
  t.not(hashOf('a', 'b'), hashOf('b', 'a'));
  t.not(hashOf('a', 'b'), hashOf('a', 'b', ''));
  t.end();
});

t.test('the command line is understood, and wrong ones are explained', (t) => {
  t.match(parseOptions([]), { firstSeed: 1, seedCount: 200, isReplay: false, isJson: false });
  t.match(parseOptions(['--seeds', '7', '--from', '100', '-o', 'json']), {
    firstSeed: 100,
    seedCount: 7,
    isJson: true,
  });
  t.match(parseOptions(['--seed', '12']), { firstSeed: 12, seedCount: 1, isReplay: true });
  t.match(parseOptions(['--seeds', 'many']), /not a number/);
  t.match(parseOptions(['-o', 'xml']), /output format/);
  t.match(parseOptions(['--what']), /--what/);
  t.end();
});
