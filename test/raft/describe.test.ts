/** One line of text per input, as traces and logs have it; effects and messages are in the scripts. */
import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import {
  describeConf,
  describeEffect,
  describeEntries,
  describeInput,
  type Input,
} from '../../src/raft/index.js';
import { entryOf } from './harness.js';

const n2 = nodeId('n2');
const conf = { voters: [nodeId('n1'), n2], outgoing: [], learners: [] };
const meta = { index: 9, term: 3, conf };
const data = new Uint8Array(0);

t.test('every input has its line', (t) => {
  const lines: readonly (readonly [Input, string])[] = [
    [{ kind: 'tick', now: 1 }, 'tick'],
    [
      {
        kind: 'message',
        now: 1,
        from: n2,
        message: { type: 'heartbeat', term: 3, commit: 4, read: 5 },
      },
      'from n2: heartbeat t3 commit 4 read 5',
    ],
    [
      {
        kind: 'propose',
        now: 1,
        proposals: [
          { id: 1, timeMs: 0, data },
          { id: 2, timeMs: 0, data },
        ],
      },
      'propose 1 2',
    ],
    [{ kind: 'read-index', now: 1, id: 7 }, 'read-index 7'],
    [{ kind: 'persisted', now: 1, index: 4, term: 2, hardTerm: 3 }, 'persisted 4.2 hard t3'],
    [{ kind: 'applied', now: 1, index: 4, durable: 3 }, 'applied 4 durable 3'],
    [{ kind: 'peer-down', now: 1, peer: n2 }, 'peer-down n2'],
    [{ kind: 'peer-up', now: 1, peer: n2 }, 'peer-up n2'],
    [{ kind: 'transfer', now: 1, to: n2 }, 'transfer to n2'],
    [{ kind: 'transfer', now: 1 }, 'transfer to anyone'],
    [
      { kind: 'reconfigure', now: 1, id: 5, voters: conf.voters, learners: [] },
      'reconfigure 5 voters n1,n2 learners ',
    ],
    [{ kind: 'snapshot-sent', now: 1, to: n2, index: 9, ok: true }, 'snapshot 9 to n2 sent'],
    [{ kind: 'snapshot-sent', now: 1, to: n2, index: 9, ok: false }, 'snapshot 9 to n2 failed'],
    [{ kind: 'snapshot-received', now: 1, from: n2, term: 4, meta }, 'snapshot 9.3 from n2 t4'],
    [{ kind: 'snapshot-installed', now: 1, meta }, 'snapshot 9.3 installed'],
  ];
  for (const [input, line] of lines) t.equal(describeInput(input), line);
  t.end();
});

t.test('long runs of entries are shortened, configurations are whole', (t) => {
  t.equal(describeEntries([]), '[]');
  const entries = [1, 2, 3, 4, 5].map((index) => entryOf(index, 2));
  t.equal(describeEntries(entries.slice(0, 4)), '[1.2 2.2 3.2 4.2]');
  t.equal(describeEntries(entries), '[1.2 … 5.2]');
  const joint = { ...conf, outgoing: [n2], learners: [nodeId('n3')] };
  t.equal(describeConf(joint), 'voters n1,n2 outgoing n2 learners n3');
  t.equal(describeEffect({ kind: 'compact', upTo: 9, meta }), 'compact to 9');
  t.equal(
    describeEffect({ kind: 'read-rejected', id: 1, leader: undefined }),
    'read 1 rejected, leader unknown',
  );
  t.end();
});
