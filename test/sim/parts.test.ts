/** The parts of the simulation that judge: would they notice? */
import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import { withoutMachine } from '../../src/sim/guard.js';
import type { Operation } from '../../src/sim/history.js';
import { Linearizable } from '../../src/sim/invariants/linearizable.js';
import { decodeWrite, EMPTY_IMAGE, encodeWrite, RegisterMachine } from '../../src/sim/machine.js';
import { describeReduction, parseOptions } from '../../src/sim/options.js';
import { FAULT_KINDS, noFaults, type Plan } from '../../src/sim/plan.js';
import { type Reduction, type RunResult, runSeed, WHOLE } from '../../src/sim/run.js';
import { shrink } from '../../src/sim/shrink.js';
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
  t.match(parseOptions([]), { firstSeed: 1, seedCount: 200, isReplay: false, output: 'text' });
  t.match(parseOptions(['--seeds', '7', '--from', '100', '-o', 'json']), {
    firstSeed: 100,
    seedCount: 7,
    output: 'json',
  });
  t.match(parseOptions(['--seed', '12']), { firstSeed: 12, seedCount: 1, isReplay: true });
  t.match(parseOptions(['--seeds', 'many']), /not a number/);
  t.match(parseOptions(['-o', 'xml']), /output format/);
  t.match(parseOptions(['--what']), /--what/);
  t.match(parseOptions(['--seed', '1', '--without', 'rain']), /"rain" is not a kind of fault/);
  t.match(parseOptions(['--seed', '1', '--skip', '3-']), /"3-" is no strike/);
  t.match(parseOptions(['--skip', '3']), /--skip goes with --seed/);
  t.end();
});

t.test('what a reduction leaves out is said as the arguments that leave it out', (t) => {
  const text = '--without loss,crash --skip 2,5-7,9 --operations 31 --safety 400 --salt 3';
  const options = parseOptions(['--seed', '4', ...text.split(' ')]);
  if (typeof options === 'string') throw new Error(options);
  const { reduction } = options;
  t.same([...reduction.skip], [2, 5, 6, 7, 9]);
  t.equal(describeReduction(reduction), text);
  t.equal(describeReduction(WHOLE), '');
  t.end();
});

/** A run that fails where crashes exist, strikes 3 and 7 strike, and 5 operations are made. */
function fakeRun(counts: { runs: number }): (reduction: Reduction) => RunResult {
  return ({ without, skip, operationsMax, safetyMs }) => {
    counts.runs += 1;
    const length = safetyMs ?? 60_000;
    const isBroken = !without.has('crash') && !skip.has(3) && !skip.has(7) && operationsMax >= 5;
    const isTooShort = length < 900;
    const violation = { seed: 1, invariant: 'made-up', message: 'broken', atMs: 900 };
    return {
      seed: 1,
      plan: { safetyMs: length } as Plan,
      traceHash: '',
      events: 0,
      virtualMs: 0,
      elections: 0,
      operations: { called: 0, done: 0, refused: 0, unknown: 0 },
      faults: noFaults(),
      strikes: 40,
      history: Array.from({ length: Math.min(operationsMax, 300) }),
      violation: isBroken && !isTooShort ? violation : undefined,
    } as unknown as RunResult;
  };
}

t.test('shrinking leaves what a failure needs, and no more', (t) => {
  const counts = { runs: 0 };
  const shrunken = shrink(fakeRun(counts));
  const { without, skip, operationsMax } = shrunken?.reduction ?? WHOLE;
  t.same(
    FAULT_KINDS.filter((kind) => !without.has(kind)),
    ['crash'],
  );
  const left = Array.from({ length: 40 }, (_, at) => at + 1).filter((at) => !skip.has(at));
  t.same(left, [3, 7]);
  t.equal(operationsMax, 5);
  t.ok((shrunken?.result.plan.safetyMs ?? 0) < 60_000);
  t.equal(shrunken?.runs, counts.runs);
  t.end();
});

t.test('a failure that becomes another one is not followed, and no failure is not shrunk', (t) => {
  const run = fakeRun({ runs: 0 });
  const changing = shrink((reduction) => {
    const result = run(reduction);
    const { violation } = result;
    if (violation === undefined || reduction === WHOLE) return result;
    return { ...result, violation: { ...violation, invariant: 'another' } };
  });
  t.equal(changing?.reduction, WHOLE);
  t.equal(
    shrink((reduction) => ({ ...run(reduction), violation: undefined })),
    undefined,
  );
  t.end();
});

t.test('leaving out a strike or a kind of fault leaves a run that replays', (t) => {
  const reduction: Reduction = { ...WHOLE, without: new Set(['loss']), skip: new Set([1, 2]) };
  const [one, two] = [runSeed(3, { reduction }), runSeed(3, { reduction })];
  t.equal(one.traceHash, two.traceHash);
  t.equal(one.faults.loss, 0);
  t.not(one.traceHash, runSeed(3).traceHash);
  t.end();
});
