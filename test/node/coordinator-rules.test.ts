/** What operators may ask for, and what the leader does by itself: the rules alone. */
import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import { planRepair, planWish, type Watched, type Wish } from '../../src/node/coordinator-rules.js';

const [N1, N2, N3, N4, N5] = ['n1', 'n2', 'n3', 'n4', 'n5'].map(nodeId) as [
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
];
const SETTLED = { voters: [N1, N2, N3], outgoing: [], learners: [] };

function watched(changes: Partial<Watched> = {}): Watched {
  return {
    conf: SETTLED,
    isCommitted: true,
    nodes: [N1, N2, N3, N4, N5],
    isUp: () => true,
    isActive: () => true,
    nowMs: 100_000,
    silentSinceMs: () => undefined,
    isEmpty: () => false,
    replaceAfterMs: 10_000,
    ...changes,
  };
}

t.test('wishes lead to voters', (t) => {
  t.same(planWish({ kind: 'add', node: N4 }, watched()).voters, [N1, N2, N3, N4]);
  t.same(planWish({ kind: 'remove', node: N1 }, watched()).voters, [N2, N3]);
  t.same(planWish({ kind: 'replace', node: N1, by: N5 }, watched()).voters, [N2, N3, N5]);
  t.end();
});

t.test('while a change is on its way, only the newcomer may be called off', (t) => {
  const coming = { ...SETTLED, learners: [N4], next: [N1, N2, N3, N4] };
  const refused: readonly (readonly [Wish, Partial<Watched>])[] = [
    [{ kind: 'add', node: N5 }, { conf: coming }],
    [{ kind: 'remove', node: N1 }, { conf: coming }],
    [{ kind: 'add', node: N4 }, { isCommitted: false }],
    [{ kind: 'remove', node: N1 }, { conf: { ...SETTLED, outgoing: [N1, N2] } }],
  ];
  for (const [wish, changes] of refused) {
    t.throws(() => planWish(wish, watched(changes)), { code: 'CHANGE_PENDING' });
  }
  t.same(planWish({ kind: 'remove', node: N4 }, watched({ conf: coming })).voters, [N1, N2, N3]);
  t.end();
});

t.test('a removal that leaves no majority that answers is refused', (t) => {
  const isActive = (name: string): boolean => name !== N3;
  t.throws(() => planWish({ kind: 'remove', node: N2 }, watched({ isActive })), {
    code: 'WOULD_LOSE_QUORUM',
    message: /n3/,
  });
  t.ok(planWish({ kind: 'remove', node: N3 }, watched({ isActive })), 'the dead one may go');
  const alone = { conf: { ...SETTLED, voters: [N1] } };
  t.throws(() => planWish({ kind: 'remove', node: N1 }, watched(alone)), {
    code: 'WOULD_LOSE_QUORUM',
  });
  t.end();
});

t.test('a newcomer has to be known and to run', (t) => {
  const isUp = (name: string): boolean => name !== N5;
  t.throws(() => planWish({ kind: 'add', node: N5 }, watched({ isUp })), { code: 'CONFLICT' });
  t.throws(() => planWish({ kind: 'add', node: nodeId('n9') }, watched()), {
    code: 'NODE_NOT_FOUND',
  });
  t.end();
});

t.test('a coordinator that stays away is replaced, if a node is free', (t) => {
  const silentSinceMs = (name: string) => (name === N2 ? 85_000 : undefined);
  const repair = planRepair(watched({ silentSinceMs }));
  t.match(repair, { kind: 'replace', node: N2, by: N4, target: { voters: [N1, N3, N4] } });
  t.equal(planRepair(watched({ silentSinceMs: () => 95_000 })), undefined, 'not yet');
  t.equal(planRepair(watched({ silentSinceMs, replaceAfterMs: 0 })), undefined, '0 is never');
  t.equal(planRepair(watched({ silentSinceMs, isCommitted: false })), undefined);
  t.equal(planRepair(watched({ silentSinceMs, isUp: () => false })), undefined, 'nobody is free');
  t.end();
});

t.test('a newcomer that stays away while it catches up is replaced as well', (t) => {
  const conf = { ...SETTLED, learners: [N4], next: [N1, N3, N4] };
  const silentSinceMs = (name: string) => (name === N4 ? 80_000 : undefined);
  t.match(planRepair(watched({ conf, silentSinceMs })), {
    kind: 'replace',
    node: N4,
    by: N5,
    target: { voters: [N1, N3, N5] },
  });
  t.end();
});

t.test('a voter that lost its disk is renewed, before anything else', (t) => {
  const isEmpty = (name: string): boolean => name === N3;
  const repair = planRepair(watched({ isEmpty, silentSinceMs: () => 0 }));
  t.match(repair, { kind: 'renew', node: N3, target: { voters: [N1, N2, N3], renew: [N3] } });
  t.end();
});
