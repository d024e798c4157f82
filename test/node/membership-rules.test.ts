/** What the leader commits about nodes, rule by rule; and the duty that applies the rules. */
import t from 'tap';
import { createSilentLogger, nodeId, settle, VirtualClock } from '../../src/base/index.js';
import { createMembershipDuty } from '../../src/node/membership-duty.js';
import {
  decideMarks,
  MISSING_MS_MAX,
  type RulesInput,
  upDelayMs,
} from '../../src/node/membership-rules.js';
import type { Wire } from '../../src/net/index.js';
import { type ChangeListener, NODES, type NodeRow, type ReadView } from '../../src/store/index.js';
import type { Member, MemberEvent } from '../../src/swim/index.js';

function row(name: string, part: Partial<NodeRow> = {}): NodeRow {
  return {
    name,
    epoch: 1,
    status: 'up',
    host: 'h',
    port: 1,
    slots: 1,
    bootWallMs: 0,
    sinceIndex: 1,
    sinceMs: 0,
    flaps: 0,
    ...part,
  };
}

function member(name: string, part: Partial<Member> = {}): Member {
  return {
    name: nodeId(name),
    host: 'h',
    port: 1,
    bootEpoch: 1,
    incarnation: 0,
    state: 'active',
    bootWallMs: 0,
    sinceMs: 0,
    stalledMs: 0,
    ...part,
  };
}

const FIVE = ['n1', 'n2', 'n3', 'n4', 'n5'];

function input(part: Partial<RulesInput>): RulesInput {
  return {
    nowMs: 100_000,
    self: 'n1',
    members: FIVE.map((name) => member(name)),
    rows: FIVE.map((name) => row(name)),
    activeSinceMs: () => 0,
    missingSinceMs: () => undefined,
    healthScore: 0,
    ...part,
  };
}

const marksOf = (part: Partial<RulesInput>): string[] =>
  decideMarks(input(part)).marks.map(({ name, status }) => `${name} ${status}`);

/** All five, one of them changed. */
const withMember = (name: string, part: Partial<Member>): readonly Member[] =>
  FIVE.map((each) => member(each, each === name ? part : {}));
const withRow = (name: string, part: Partial<NodeRow>): readonly NodeRow[] =>
  FIVE.map((each) => row(each, each === name ? part : {}));

t.test('when all is well nothing is committed', async (t) => {
  t.same(decideMarks(input({})), { marks: [], againInMs: undefined });
});

t.test('a failed member is committed down, a suspicious one is not', async (t) => {
  t.same(marksOf({ members: withMember('n3', { state: 'failed' }) }), ['n3 down']);
  t.same(marksOf({ members: withMember('n3', { state: 'suspicious' }) }), []);
});

t.test('news of another epoch than the committed one is ignored', async (t) => {
  t.same(marksOf({ members: withMember('n3', { state: 'failed', bootEpoch: 2 }) }), []);
});

t.test('a leader whose own health is bad commits no down, but ups and lefts', async (t) => {
  const members = [
    member('n1'),
    member('n2', { state: 'left' }),
    member('n3', { state: 'failed' }),
    member('n4'),
    member('n5'),
  ];
  const rows = withRow('n4', { status: 'down' });
  const { marks, againInMs } = decideMarks(input({ members, rows, healthScore: 6 }));
  t.same(
    marks.map(({ name, status }) => `${name} ${status}`),
    ['n2 left', 'n4 up'],
  );
  t.ok(againInMs !== undefined, 'it looks again');
});

t.test('a leader that sees less than half of the nodes commits no down', async (t) => {
  const members = FIVE.map((name) => member(name, name > 'n2' ? { state: 'failed' } : {}));
  t.same(marksOf({ members }), [], 'two of five');
  const three = FIVE.map((name) => member(name, name > 'n3' ? { state: 'failed' } : {}));
  t.same(marksOf({ members: three }), ['n4 down', 'n5 down'], 'three of five');
});

t.test('a node that is back is up after 1 s doubled for each flap, at most a minute', async (t) => {
  t.equal(upDelayMs({ flaps: 0, status: 'down' }), 0);
  t.equal(upDelayMs({ flaps: 1, status: 'down' }), 2_000);
  t.equal(upDelayMs({ flaps: 3, status: 'down' }), 8_000);
  t.equal(upDelayMs({ flaps: 50, status: 'down' }), 60_000);
  const rows = withRow('n3', { status: 'down', flaps: 2 });
  const since = (ms: number): Partial<RulesInput> => ({ rows, activeSinceMs: () => 100_000 - ms });
  t.same(decideMarks(input(since(1_500))), { marks: [], againInMs: 2_500 });
  t.same(marksOf(since(4_000)), ['n3 up']);
});

t.test('a node that leaves is left, and up at once when it joins again', async (t) => {
  t.same(marksOf({ members: withMember('n3', { state: 'left' }) }), ['n3 left']);
  t.same(marksOf({ rows: withRow('n3', { status: 'left', flaps: 5 }) }), ['n3 up']);
  t.same(
    marksOf({
      members: withMember('n3', { state: 'left' }),
      rows: withRow('n3', { status: 'left' }),
    }),
    [],
  );
});

t.test('a committed node that no member knows is down after a while', async (t) => {
  const members = FIVE.filter((name) => name !== 'n3').map((name) => member(name));
  const missing = (ms: number): Partial<RulesInput> => ({
    members,
    missingSinceMs: (name) => (name === 'n3' ? 100_000 - ms : undefined),
  });
  t.same(marksOf(missing(MISSING_MS_MAX - 1)), []);
  t.same(marksOf(missing(MISSING_MS_MAX)), ['n3 down']);
});

t.test('the leader never commits itself down, and up when it leads', async (t) => {
  t.same(marksOf({ members: withMember('n1', { state: 'failed' }) }), []);
  t.same(marksOf({ rows: withRow('n1', { status: 'down' }) }), ['n1 up']);
});

function dutyWorld() {
  const clock = new VirtualClock();
  const rows = new Map(FIVE.map((name) => [name, row(name)]));
  const members = new Map(FIVE.map((name) => [name, member(name)]));
  const marked: string[] = [];
  const memberListeners: ((event: MemberEvent) => void)[] = [];
  const changeListeners: ChangeListener[] = [];
  const view = {
    async *scan() {
      for (const found of rows.values()) yield [[found.name], found] as const;
    },
  } as unknown as ReadView;
  const propose = async (_name: string, args: readonly Wire[]): Promise<Wire> => {
    const mark = args[0] as { name: string; status: NodeRow['status'] };
    marked.push(`${clock.now()} ${mark.name} ${mark.status}`);
    const before = rows.get(mark.name) ?? row(mark.name);
    const flaps = before.flaps + (mark.status === 'down' ? 1 : 0);
    rows.set(mark.name, { ...before, status: mark.status, flaps });
    for (const listener of changeListeners) {
      listener([{ table: NODES, key: [mark.name], before, after: rows.get(mark.name) }], 1);
    }
    return null;
  };
  const duty = createMembershipDuty({
    self: 'n1',
    membership: {
      members: () => [...members.values()],
      onChange: (listener) => memberListeners.push(listener),
      healthScore: () => 0,
    },
    local: {
      view: () => view,
      onChanges: (listener) => changeListeners.push(listener),
      propose,
    },
    clock,
    log: createSilentLogger(),
  });
  const change = async (name: string, state: Member['state']): Promise<void> => {
    const before = members.get(name)?.state;
    const changed = member(name, { state });
    members.set(name, changed);
    for (const listener of memberListeners) listener({ member: changed, before });
    await settle();
  };
  return { clock, duty, marked, change };
}

t.test('the duty commits down at once, and up after the delay of a flap', async (t) => {
  const { clock, duty, marked, change } = dutyWorld();
  const leading = new AbortController();
  duty.lead(1, leading.signal);
  await settle();
  await change('n3', 'failed');
  t.same(marked, ['0 n3 down']);
  await clock.advanceSettled(500);
  await change('n3', 'active');
  await clock.advanceSettled(1_900);
  t.same(marked.length, 1, 'not yet');
  await clock.advanceSettled(200);
  t.same(marked[1], '2500 n3 up');
});

t.test('suspicion in between starts the wait anew', async (t) => {
  const { clock, duty, marked, change } = dutyWorld();
  duty.lead(1, new AbortController().signal);
  await change('n3', 'failed');
  await change('n3', 'active');
  await clock.advanceSettled(1_500);
  await change('n3', 'suspicious');
  await change('n3', 'active');
  await clock.advanceSettled(1_500);
  t.equal(marked.length, 1);
  await clock.advanceSettled(600);
  t.equal(marked.length, 2);
});

t.test('nothing is committed after leadership has ended, and no timer is left', async (t) => {
  const { clock, duty, marked, change } = dutyWorld();
  const leading = new AbortController();
  duty.lead(1, leading.signal);
  await settle();
  leading.abort();
  await change('n3', 'failed');
  await clock.advanceSettled(5_000);
  t.same(marked, []);
  t.equal(clock.pending, 0);
});
