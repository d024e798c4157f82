/** The linearizability checker: known histories, and random ones against a slow twin. */
import t from 'tap';
import { createSeededRng, nodeId } from '../../src/base/index.js';
import type { Operation } from '../../src/sim/history.js';
import {
  type Interval,
  type Model,
  REGISTER,
  type RegisterAction,
} from '../../src/sim/linear/model.js';
import { byRegister, settle } from '../../src/sim/linear/registers.js';
import { renderTimeline } from '../../src/sim/linear/timeline.js';
import { judge } from '../../src/sim/linear/wgl.js';
import { isLinearizable } from './brute-force.js';

type History = Interval<RegisterAction>[];

/** Lines like `a 0-3 w1`, `b 2- w2` (never returned) and `c 4-5 r1`: client, times, action. */
function parse(...lines: string[]): History {
  return lines.map((line, id) => {
    const [, client = '', from, to, kind, value] =
      /^(\w+) (\d+)-(\d*) ([wr])(\d+)$/.exec(line) ?? [];
    const number = Number(value);
    return {
      id,
      client,
      callAt: Number(from),
      returnAt: to === '' ? undefined : Number(to),
      action: kind === 'w' ? { kind: 'write', value: number } : { kind: 'read', result: number },
    };
  });
}

const GOOD: Readonly<Record<string, History>> = {
  'nothing at all': [],
  'one after another': parse('a 0-1 w1', 'b 2-3 r1', 'a 4-5 w2', 'b 6-7 r2'),
  'a read beside a write sees the old or the new': parse('a 0-9 w1', 'b 1-2 r0', 'c 3-4 r1'),
  'two writes beside each other, either first': parse('a 0-9 w1', 'b 0-9 w2', 'c 10-11 r1'),
  'a write that never returned is seen long after': parse('a 0- w1', 'b 5-6 r0', 'b 90-91 r1'),
  'a write that never returned is never seen': parse('a 0- w1', 'b 5-6 r0', 'b 90-91 r0'),
  'at equal times a call comes before a return': parse('a 0-5 w1', 'b 5-6 r0'),
  // Herlihy and Wing 1990, figure 1, told with a register.
  'an order that has to be found by going back': parse(
    'a 0-10 w1',
    'b 1-9 w2',
    'c 2-3 r2',
    'd 4-5 r1',
    'c 11-12 r1',
  ),
};

const BAD: Readonly<Record<string, History>> = {
  'a read misses a write that had returned': parse('a 0-1 w1', 'b 2-3 r0'),
  'a read sees what nobody wrote': parse('a 0-1 w1', 'b 2-3 r7'),
  'a read sees a write that was called after it': parse('b 0-1 r1', 'a 2-3 w1'),
  'reads go back': parse('a 0-9 w1', 'b 1-2 r1', 'c 3-4 r0'),
  'reads go back to a write that was overwritten': parse(
    'a 0-1 w1',
    'a 2-3 w2',
    'b 4-5 r2',
    'c 6-7 r1',
  ),
  'a write that never returned takes effect and is taken back': parse(
    'a 0- w1',
    'b 5-6 r1',
    'c 7-8 r0',
  ),
  'two readers see two writes in different orders': parse(
    'a 0-20 w1',
    'b 0-20 w2',
    'c 1-2 r1',
    'c 3-4 r2',
    'd 1-2 r2',
    'd 3-4 r1',
    'd 5-6 r2',
  ),
};

t.test('known good histories are found linearizable, known bad ones impossible', (t) => {
  for (const [name, history] of Object.entries(GOOD)) {
    const { verdict, order, stuckAt } = judge(history, REGISTER);
    t.equal(verdict, 'linearizable', name);
    t.ok(isLinearizable(history, REGISTER), `${name}, says the twin`);
    t.equal(stuckAt, undefined);
    const returned = history.filter(({ returnAt }) => returnAt !== undefined);
    for (const interval of returned)
      t.ok(order.includes(interval), `${name}: all are in the order`);
  }
  for (const [name, history] of Object.entries(BAD)) {
    t.equal(judge(history, REGISTER).verdict, 'impossible', name);
    t.notOk(isLinearizable(history, REGISTER), `${name}, says the twin`);
  }
  t.end();
});

/** Plays operations on a register with random intervals, then maybe spoils one result. */
function randomHistory(seed: number): History {
  const rng = createSeededRng(`history-${seed}`);
  const size = 1 + rng.int(7);
  const points = Array.from({ length: size }, () => rng.int(30)).sort((a, b) => a - b);
  let value = 0;
  return points.map((point, id) => {
    const isWrite = rng.float() < 0.5;
    if (isWrite) value = id + 1;
    const result = rng.float() < 0.2 ? rng.int(size + 1) : value;
    return {
      id,
      client: `c${id}`,
      callAt: point - rng.int(8),
      returnAt: isWrite && rng.float() < 0.25 ? undefined : point + rng.int(8),
      action: isWrite ? { kind: 'write', value: id + 1 } : { kind: 'read', result },
    };
  });
}

t.test('on random histories checker, twin, and the rule about lost writes agree', (t) => {
  let good = 0;
  const seeds = 3_000;
  for (let seed = 0; seed < seeds; seed += 1) {
    const history = randomHistory(seed);
    const expected = isLinearizable(history, REGISTER);
    if (expected) good += 1;
    const found = judge(history, REGISTER).verdict === 'linearizable';
    const settled = judge(settle(history), REGISTER).verdict === 'linearizable';
    if (found !== expected || settled !== expected) {
      t.fail(`seed ${seed}: twin ${expected}, checker ${found}, settled ${settled}`);
    }
  }
  t.ok(good > seeds / 10 && good < seeds * 0.9, `${good} of ${seeds} are linearizable`);
  t.end();
});

t.test('any order that is found respects real time and the register', (t) => {
  for (let seed = 0; seed < 500; seed += 1) {
    const { order } = judge(randomHistory(seed), REGISTER);
    let state: number | undefined = 0;
    for (const [at, interval] of order.entries()) {
      if (state !== undefined) state = REGISTER.step(state, interval.action);
      const later = order.slice(at + 1);
      const isLate = later.some(({ returnAt }) => (returnAt ?? Infinity) < interval.callAt);
      if (isLate || state === undefined) t.fail(`seed ${seed}: ${at}`);
    }
  }
  t.pass('500 orders');
  t.end();
});

t.test('other objects can be judged too: a queue', (t) => {
  type Action = { readonly put: number } | { readonly take: number };
  const queue: Model<readonly number[], Action> = {
    initial: [],
    step: (state, action) => {
      if ('put' in action) return [...state, action.put];
      return state[0] === action.take ? state.slice(1) : undefined;
    },
    keyOf: (state) => state.join(),
    describe: (action) => JSON.stringify(action),
  };
  const of = (...actions: Action[]): Interval<Action>[] =>
    actions.map((action, id) => ({
      id,
      client: 'a',
      callAt: 2 * id,
      returnAt: 2 * id + 1,
      action,
    }));
  t.equal(judge(of({ put: 1 }, { put: 2 }, { take: 1 }), queue).verdict, 'linearizable');
  t.equal(judge(of({ put: 1 }, { put: 2 }, { take: 2 }), queue).verdict, 'impossible');
  t.end();
});

t.test('a search that would take too long says so', (t) => {
  // All writes beside each other, and then a read of nothing that was written.
  const writes = Array.from({ length: 14 }, (_, at) => `c${at} 0-50 w${at + 1}`);
  const history = parse(...writes, 'r 60-61 r99');
  t.equal(judge(history, REGISTER, 1_000).verdict, 'undecided');
  t.end();
});

t.test('a run of a thousand operations by many clients is judged within the bound', (t) => {
  const rng = createSeededRng('long');
  let value = 0;
  const history: History = Array.from({ length: 1_000 }, (_, id) => {
    const at = id * 2;
    if (rng.float() < 0.5) value = id + 1;
    const isWrite = value === id + 1;
    return {
      id,
      client: `c${id % 8}`,
      callAt: at - rng.int(8),
      returnAt: at + rng.int(8),
      action: isWrite ? { kind: 'write', value } : { kind: 'read', result: value },
    };
  });
  t.equal(judge(history, REGISTER).verdict, 'linearizable');
  const last = { ...parse('z 3000-3001 r0')[0], id: 1_000 } as Interval<RegisterAction>;
  const { verdict, stuckAt } = judge([...history, last], REGISTER);
  t.equal(verdict, 'impossible');
  t.equal(stuckAt?.id, 1_000);
  t.end();
});

function operation(
  part: Partial<Operation> & Pick<Operation, 'id' | 'kind' | 'register' | 'value'>,
): Operation {
  return {
    client: 'a',
    calledAt: part.id,
    returnedAt: part.id,
    outcome: 'done',
    index: 0,
    at: nodeId('n1'),
    ...part,
  };
}

t.test(
  'registers are judged apart; refused operations and reads without answer tell nothing',
  (t) => {
    const histories = byRegister([
      operation({ id: 1, kind: 'write', register: 0, value: 5 }),
      operation({ id: 2, kind: 'write', register: 1, value: 6 }),
      operation({ id: 3, kind: 'write', register: 0, value: 7, outcome: 'refused' }),
      operation({ id: 4, kind: 'read', register: 0, value: 0, outcome: undefined }),
      operation({ id: 5, kind: 'write', register: 0, value: 8, outcome: undefined }),
      operation({ id: 6, kind: 'write', register: 0, value: 9, outcome: undefined }),
      operation({ id: 7, kind: 'read', register: 0, value: 9 }),
    ]);
    t.same([...histories.keys()], [0, 1]);
    t.same(
      histories.get(0)?.map(({ id, returnAt }) => [id, returnAt]),
      [
        [1, 1],
        [6, 7],
        [7, 7],
      ],
      'a lost write that was seen took effect before that read returned; an unseen one is left out',
    );
    t.end();
  },
);

t.test(
  'the timeline is one page that loads nothing, with every operation and what went wrong',
  (t) => {
    const history = BAD['reads go back'] ?? [];
    const judgement = judge(history, REGISTER);
    const page = renderTimeline('seed <7> & co', [
      { title: 'register 0', history, model: REGISTER, judgement },
    ]);
    t.match(page, /^<!doctype html>/);
    t.notMatch(page, /src=|href=|https?:|@import|url\(/);
    t.match(page, 'seed &lt;7&gt; &amp; co');
    t.equal(page.match(/<div class="bar /g)?.length, history.length);
    t.equal(page.match(/<div class="bar stuck/g)?.length, 1);
    t.match(page, /read → 0 · called 3.000 ms/);
    t.end();
  },
);
