/** src/raft/wire.ts: Raft's messages. A case is `u16 length of the header | header | body`. */
import type { Rng } from '../../src/base/index.js';
import { decode, encode, type Wire } from '../../src/net/index.js';
import type { Entry, Message } from '../../src/raft/types.js';
import { decodeMessage, encodeMessage } from '../../src/raft/wire.js';
import type { FuzzTarget } from '../types.js';
import { bytesOf, pick, refusedWith, requireSame } from './support.js';

const NUMBERS = [0, 1, 2, 5, 300, 2 ** 32, 2 ** 53 - 1000];
const NO_BYTES = new Uint8Array(0);

function append(rng: Rng): Message {
  // The last: one entry more than these would have an index that is no integer any more.
  const [prevIndex, prevTerm] = [pick(rng, [...NUMBERS, 2 ** 53 - 4]), rng.int(3)];
  const kinds: readonly Entry['kind'][] = ['bootstrap', 'noop', 'command', 'config'];
  const entries = Array.from(
    { length: rng.int(4) },
    (_, nth): Entry => ({
      index: prevIndex + nth + 1,
      term: prevTerm + nth,
      kind: pick(rng, kinds),
      timeMs: rng.int(2) === 0 ? 0 : 1_700_000_000_000.5,
      data: bytesOf(rng, 12),
    }),
  );
  const term = prevTerm + entries.length;
  return { type: 'append', term, prevIndex, prevTerm, commit: pick(rng, NUMBERS), entries };
}

function message(rng: Rng): Message {
  const n = (): number => pick(rng, NUMBERS);
  const flag = (): boolean => rng.int(2) === 0;
  const term = n();
  return pick<() => Message>(rng, [
    () => append(rng),
    () => append(rng),
    () => ({ type: 'pre-vote', term, lastIndex: n(), lastTerm: n() }),
    () => ({ type: 'pre-vote-reply', term, granted: flag() }),
    () => ({ type: 'vote', term, lastIndex: n(), lastTerm: n(), transfer: flag() }),
    () => ({ type: 'vote-reply', term, granted: flag() }),
    () => ({
      type: 'append-reply',
      term,
      ok: flag(),
      index: n(),
      hintIndex: n(),
      hintTerm: n(),
    }),
    () => ({ type: 'heartbeat', term, commit: n(), read: n() }),
    () => ({ type: 'heartbeat-reply', term, read: n(), verified: n(), suspect: flag() }),
    () => ({ type: 'timeout-now', term }),
    () => ({ type: 'catch-up', term, id: n() }),
    () => ({ type: 'catch-up-reply', term, id: n(), index: n() }),
    () => ({ type: 'removed', term, index: n() }),
  ])();
}

function packed(args: readonly Wire[], body: Uint8Array): Uint8Array {
  const header = encode(args);
  const length = Uint8Array.of(header.length >> 8, header.length & 0xff);
  return Uint8Array.from(Buffer.concat([length, header, body]));
}

/** A core asserts these of what it is given. */
function requireSound(message: Message): void {
  if (message.type !== 'append') return;
  let { prevIndex: index, prevTerm: term } = message;
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || !Number.isSafeInteger(entry.index)) {
      throw new Error(`entry ${entry.index} after ${index}`);
    }
    if (!(entry.term >= term && entry.term <= message.term)) throw new Error('terms go back');
    ({ index, term } = entry);
  }
}

export const raftMessages: FuzzTarget = {
  name: 'raft-messages',
  summary: 'messages of the consensus group (src/raft/wire.ts)',
  cases: 100_000,
  casesInTests: 4_000,
  sample(rng) {
    const { args, body } = encodeMessage(message(rng));
    return packed(args, body ?? NO_BYTES);
  },
  check(input) {
    const end = 2 + ((input[0] ?? 0) << 8) + (input[1] ?? 0);
    let read: Message;
    try {
      const args = decode(input.slice(2, end));
      if (!Array.isArray(args)) return 'refused';
      read = decodeMessage(args as Wire[], input.slice(end));
    } catch (error) {
      return refusedWith(error, 'PROTOCOL');
    }
    requireSound(read);
    const written = encodeMessage(read);
    const again = decodeMessage(decode(encode(written.args)) as Wire[], written.body ?? NO_BYTES);
    requireSame(read, again, 'written and read again');
    return 'accepted';
  },
};
