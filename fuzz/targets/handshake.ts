/** src/net/handshake.ts: the first bytes of a stranger. */
import { type BootEpoch, type Connection, VirtualClock } from '../../src/base/index.js';
import { encodeFrame, FRAME_KIND } from '../../src/net/frame.js';
import { answerGreeting, type Identity } from '../../src/net/handshake.js';
import { PROTOCOL_VERSION } from '../../src/net/limits.js';
import { LANES } from '../../src/net/types.js';
import type { FuzzTarget, Verdict } from '../types.js';
import { frames } from './frames.js';
import { dictionaryOf, pick, piecesOf, refusedWith } from './support.js';

const SELF: Identity = {
  kind: 'node',
  name: 'n1',
  bootEpoch: 7 as BootEpoch,
  cluster: 'c',
  fingerprint: 'f',
  protocolVersion: PROTOCOL_VERSION,
};

/** A connection that gives these bytes and then ends. */
function connectionOf(bytes: Uint8Array): { readonly connection: Connection; say(): void } {
  let onData: (bytes: Uint8Array) => void = () => undefined;
  let onClose: (error: string | undefined) => void = () => undefined;
  let isClosed = false;
  const close = (): void => {
    if (!isClosed) onClose(undefined);
    isClosed = true;
  };
  const connection: Connection = {
    remote: 'stranger',
    bufferedBytes: 0,
    write: () => true,
    onData: (listener) => {
      onData = listener;
    },
    onDrain: () => undefined,
    onClose: (listener) => {
      onClose = listener;
    },
    pause: () => undefined,
    resume: () => undefined,
    end: close,
    destroy: close,
  };
  const say = (): void => {
    for (const piece of piecesOf(bytes)) if (!isClosed) onData(piece);
    close();
  };
  return { connection, say };
}

export const handshake: FuzzTarget = {
  name: 'handshake',
  summary: 'the greeting of a stranger (src/net/handshake.ts)',
  cases: 30_000,
  casesInTests: 1_500,
  dictionary: dictionaryOf('idunno', 'node', 'client', ...LANES, '\u0000'),
  sample(rng) {
    const hello = ['idunno', SELF.protocolVersion, 'c', 'f', pick(rng, ['node', 'client'])];
    const who = [`n${2 + rng.int(3)}`, rng.int(1000), pick(rng, LANES)];
    const [head] = encodeFrame(FRAME_KIND.hello, [...hello, ...who, pick(rng, ['', 'n1'])]);
    return Uint8Array.from(head);
  },
  repair: (bytes) => frames.repair?.(bytes) ?? bytes,
  async check(input) {
    const clock = new VirtualClock();
    const verdict = await verdictOf(input, clock);
    // One may wait for the peer to read why it was refused.
    if (clock.pending > 1) throw new Error(`${clock.pending} timers are left`);
    return verdict;
  },
};

async function verdictOf(input: Uint8Array, clock: VirtualClock): Promise<Verdict> {
  const { connection, say } = connectionOf(input);
  const greeted = answerGreeting(connection, SELF, clock);
  greeted.catch(() => undefined);
  say();
  try {
    const { peer, lane, parser, handOver } = await greeted;
    handOver({ onData: () => undefined, onConnectionClosed: () => undefined });
    const isKnown = ['node', 'client'].includes(peer.kind) && LANES.includes(lane);
    // A client may call itself what it likes.
    const isDouble = peer.kind === 'node' && peer.name === SELF.name;
    if (!isKnown || isDouble) throw new Error('a peer that is none');
    if (!Number.isSafeInteger(peer.bootEpoch)) throw new Error('a boot epoch that is none');
    if (parser.heldBytes > input.length) throw new Error('more is held than came');
    return 'accepted';
  } catch (error) {
    return refusedWith(error, 'PROTOCOL', 'WRONG_CLUSTER', 'CONNECTION_LOST');
  }
}
