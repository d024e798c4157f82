import t from 'tap';
import { createSeededRng, isIdunnoError } from '../../src/base/index.js';
import { decode, encode, type Lane, type Wire } from '../../src/net/index.js';
import {
  decodeMessage,
  type Entry,
  encodeMessage,
  laneOf,
  type Message,
} from '../../src/raft/index.js';

const NOTHING = new Uint8Array(0);
const BIG = Number.MAX_SAFE_INTEGER;

function entry(index: number, term: number, bytes: number): Entry {
  return {
    index,
    term,
    kind: 'command',
    timeMs: 1_700_000_000_000,
    data: Buffer.alloc(bytes, index),
  };
}

const MESSAGES: readonly Message[] = [
  { type: 'pre-vote', term: 3, lastIndex: 10, lastTerm: 2 },
  { type: 'pre-vote-reply', term: 3, granted: true },
  { type: 'vote', term: 3, lastIndex: BIG, lastTerm: 2, transfer: true },
  { type: 'vote-reply', term: BIG, granted: false },
  { type: 'append', term: 3, prevIndex: 0, prevTerm: 0, commit: 0, entries: [] },
  {
    type: 'append',
    term: 5,
    prevIndex: 9,
    prevTerm: 2,
    commit: 8,
    entries: [
      { ...entry(10, 2, 0), kind: 'bootstrap' },
      { ...entry(11, 4, 1), kind: 'noop' },
      entry(12, 5, 70_000),
      { ...entry(13, 5, 3), kind: 'config', timeMs: 0 },
    ],
  },
  { type: 'append-reply', term: 5, ok: false, index: 9, hintIndex: 7, hintTerm: 2 },
  { type: 'heartbeat', term: 5, commit: 8, read: 77 },
  { type: 'heartbeat-reply', term: 5, read: 77, verified: 6, suspect: false },
  { type: 'timeout-now', term: 5 },
  { type: 'catch-up', term: 5, id: 4_000_000_000 },
  { type: 'catch-up-reply', term: 5, id: 4_000_000_000, index: 12 },
];

function overTheWire(message: Message): Message {
  const { args, body } = encodeMessage(message);
  return decodeMessage(decode(encode(args)) as readonly Wire[], body ?? NOTHING);
}

t.test('every message arrives as it was sent', (t) => {
  for (const message of MESSAGES) t.same(overTheWire(message), message, message.type);
  t.end();
});

t.test('what keeps or makes a leader overtakes appends, and nothing else does', (t) => {
  const lanes: Readonly<Record<Message['type'], Lane>> = {
    'pre-vote': 'heartbeat',
    'pre-vote-reply': 'heartbeat',
    vote: 'heartbeat',
    'vote-reply': 'heartbeat',
    heartbeat: 'heartbeat',
    'heartbeat-reply': 'heartbeat',
    'timeout-now': 'heartbeat',
    append: 'control',
    'append-reply': 'control',
    removed: 'control',
    'catch-up': 'control',
    'catch-up-reply': 'control',
  };
  for (const [type, lane] of Object.entries(lanes)) {
    t.equal(laneOf(type as Message['type']), lane, type);
  }
  t.end();
});

t.test('what cannot be a message is refused with PROTOCOL', (t) => {
  const refused: readonly (readonly Wire[])[] = [
    [],
    [1],
    [99, 1],
    [1, 3, 10],
    [1, 3, 10, 2, 1],
    [1, -3, 10, 2],
    [1, 1.5, 10, 2],
    [1, '3', 10, 2],
    [2, 3, 1],
    [3, 3, 10, 2, null],
    [5, 3, 0, 0, 0, 1],
    [5, 3, 0, 0, 0, 1e9],
  ];
  for (const args of refused) {
    t.throws(() => decodeMessage(args, NOTHING), { code: 'PROTOCOL' }, JSON.stringify(args));
  }
  t.throws(() => decodeMessage([9, 5], Buffer.from('x')), { code: 'PROTOCOL' }, 'a stray body');
  t.end();
});

t.test('an append whose terms go back, or lie beyond its own, is refused', (t) => {
  const append = MESSAGES[5];
  if (append?.type !== 'append') throw new Error('the message is an append');
  for (const wrong of [
    { ...append, prevTerm: 3 },
    { ...append, term: 4 },
    { ...append, entries: [entry(10, 5, 1), entry(11, 4, 1)] },
  ]) {
    t.throws(() => overTheWire(wrong), { code: 'PROTOCOL' });
  }
  t.end();
});

t.test('damaged bytes are decoded or refused, and nothing else', (t) => {
  const rng = createSeededRng('wire');
  for (let round = 0; round < 5_000; round += 1) {
    const message = MESSAGES[rng.int(MESSAGES.length)];
    if (message === undefined) continue;
    const { args, body = NOTHING } = encodeMessage(message);
    const damagedArgs = args.map((arg) => (rng.int(4) === 0 ? rng.int(2 ** 31) - 5 : arg));
    const length = rng.int(3) === 0 ? rng.int(body.length + 1) : body.length;
    const damagedBody = Uint8Array.from(body.subarray(0, length));
    for (let flips = rng.int(4); flips > 0 && length > 0; flips -= 1) {
      const at = rng.int(Math.min(length, 64));
      damagedBody[at] = rng.int(256);
    }
    try {
      decodeMessage(damagedArgs, damagedBody);
    } catch (error) {
      if (!isIdunnoError(error, 'PROTOCOL')) t.fail(`round ${round}: ${String(error)}`);
    }
  }
  t.pass('5,000 rounds');
  t.end();
});
