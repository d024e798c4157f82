/** The arithmetic of agreement against a twin that tries every subset. */
import t from 'tap';
import { createSeededRng, nodeId, type NodeId } from '../../src/base/index.js';
import { quorumValue, voteResult } from '../../src/raft/quorum.js';
import { type ConfState, hasQuorum, isVoter, majority, membersOf } from '../../src/raft/index.js';

const IDS = Array.from({ length: 7 }, (_, at) => nodeId(`n${at + 1}`));

/** A set of nodes is a quorum when it holds more than half of each non-empty half. */
function isQuorum(conf: ConfState, members: ReadonlySet<NodeId>): boolean {
  const halves = [conf.voters, conf.outgoing].filter((half) => half.length > 0);
  return halves.every((half) => 2 * half.filter((id) => members.has(id)).length > half.length);
}

function subsets(ids: readonly NodeId[]): Set<NodeId>[] {
  return Array.from(
    { length: 2 ** ids.length },
    (_, bits) => new Set(ids.filter((_id, at) => (bits >> at) & 1)),
  );
}

/** The largest value v such that those who reached v are a quorum: by trying them all. */
function slowValue(conf: ConfState, values: ReadonlyMap<NodeId, number>): number {
  const candidates = [...new Set([0, ...values.values()])];
  const reached = candidates.filter((value) =>
    isQuorum(conf, new Set([...values].filter(([, v]) => v >= value).map(([id]) => id))),
  );
  return Math.max(...reached);
}

/** Won: the grants are a quorum. Lost: not even all that have not refused would be one. */
function slowVote(conf: ConfState, votes: ReadonlyMap<NodeId, boolean>): string {
  const all = [...conf.voters, ...conf.outgoing];
  if (isQuorum(conf, new Set(all.filter((id) => votes.get(id) === true)))) return 'won';
  return isQuorum(conf, new Set(all.filter((id) => votes.get(id) !== false))) ? 'pending' : 'lost';
}

function simple(size: number): ConfState {
  return { voters: IDS.slice(0, size), outgoing: [], learners: [] };
}

/** All joint configurations of up to 3 + 3 of 4 nodes, and a sample of the larger ones. */
function jointConfs(): ConfState[] {
  const small = subsets(IDS.slice(0, 4)).filter((set) => set.size > 0 && set.size <= 3);
  const confs = small.flatMap((voters) =>
    small.map((outgoing) => ({ voters: [...voters], outgoing: [...outgoing], learners: [] })),
  );
  const rng = createSeededRng('joint');
  const some = (): NodeId[] => {
    const chosen = IDS.filter(() => rng.float() < 0.5);
    return chosen.length > 0 ? chosen : IDS.slice(0, 1);
  };
  for (let count = 0; count < 100; count += 1) {
    confs.push({ voters: some(), outgoing: some(), learners: [] });
  }
  return confs;
}

t.test('a majority is the smallest number of which any two sets meet', (t) => {
  t.same([1, 2, 3, 4, 5, 6, 7].map(majority), [1, 2, 2, 3, 3, 4, 4]);
  t.end();
});

t.test(
  'the value that a quorum has reached equals the twin, for every plain configuration',
  (t) => {
    let wrong = 0;
    for (let size = 1; size <= 7; size += 1) {
      const conf = simple(size);
      // All combinations of three values: every order and every tie.
      for (let code = 0; code < 3 ** size; code += 1) {
        const values = new Map(
          conf.voters.map((id, at) => [id, Math.floor(code / 3 ** at) % 3] as const),
        );
        if (quorumValue(conf, (id) => values.get(id) ?? 0) !== slowValue(conf, values)) wrong += 1;
      }
    }
    t.equal(wrong, 0);
    t.end();
  },
);

t.test('the value that a quorum has reached equals the twin, for joint configurations', (t) => {
  const rng = createSeededRng('values');
  let wrong = 0;
  for (const conf of jointConfs()) {
    for (let count = 0; count < 30; count += 1) {
      const values = new Map(membersOf(conf).map((id) => [id, rng.int(5)] as const));
      if (quorumValue(conf, (id) => values.get(id) ?? 0) !== slowValue(conf, values)) wrong += 1;
    }
  }
  t.equal(wrong, 0);
  t.end();
});

t.test('votes are counted as the twin counts them, for every plain configuration', (t) => {
  let wrong = 0;
  for (let size = 1; size <= 7; size += 1) {
    const conf = simple(size);
    for (let code = 0; code < 3 ** size; code += 1) {
      const votes = new Map<NodeId, boolean>();
      for (const [at, id] of conf.voters.entries()) {
        const vote = Math.floor(code / 3 ** at) % 3;
        if (vote > 0) votes.set(id, vote === 1);
      }
      if (voteResult(conf, (id) => votes.get(id)) !== slowVote(conf, votes)) wrong += 1;
    }
  }
  t.equal(wrong, 0);
  t.end();
});

t.test('votes are counted as the twin counts them, for joint configurations', (t) => {
  const rng = createSeededRng('votes');
  let wrong = 0;
  for (const conf of jointConfs()) {
    for (let count = 0; count < 30; count += 1) {
      const votes = new Map<NodeId, boolean>();
      for (const id of membersOf(conf)) {
        const vote = rng.int(3);
        if (vote > 0) votes.set(id, vote === 1);
      }
      if (voteResult(conf, (id) => votes.get(id)) !== slowVote(conf, votes)) wrong += 1;
    }
  }
  t.equal(wrong, 0);
  t.end();
});

t.test('any two quorums of one configuration share a voter', (t) => {
  for (const conf of [simple(3), simple(4), simple(5), ...jointConfs().slice(0, 60)]) {
    const quorums = subsets(membersOf(conf)).filter((set) => hasQuorum(conf, (id) => set.has(id)));
    const meet = quorums.every((a) => quorums.every((b) => [...a].some((id) => b.has(id))));
    if (!meet) t.fail(`two quorums of ${conf.voters} / ${conf.outgoing} are apart`);
  }
  t.end();
});

t.test('learners are members, and neither voters nor part of a quorum', (t) => {
  const [a = nodeId('a'), b = nodeId('b'), c = nodeId('c')] = IDS;
  const conf = { voters: [a], outgoing: [b], learners: [c] };
  t.same(membersOf(conf), [a, b, c]);
  t.same(
    [a, b, c].map((id) => isVoter(conf, id)),
    [true, true, false],
  );
  t.equal(
    hasQuorum(conf, (id) => id !== c),
    true,
  );
  t.equal(
    hasQuorum(conf, (id) => id !== b),
    false,
  );
  t.end();
});
