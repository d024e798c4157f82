/** src/swim/codec.ts: packets of the membership protocol. */
import { type BootEpoch, crc32c, nodeId, type Rng } from '../../src/base/index.js';
import { clusterNumber, decodePacket, encodePacket } from '../../src/swim/codec.js';
import type { MemberRecord, Message, Sender } from '../../src/swim/messages.js';
import type { FuzzTarget } from '../types.js';
import { pick, requireSame } from './support.js';

const CLUSTER = clusterNumber('fuzz');
const CHECKSUM_BYTES = 4;

function epoch(rng: Rng): BootEpoch {
  return pick(rng, [0, 1, 300, 2 ** 40, 2 ** 53 - 1]) as BootEpoch;
}

function sender(rng: Rng): Sender {
  const [name, incarnation] = [nodeId(`n${rng.int(9)}`), rng.int(300)];
  return { name, epoch: epoch(rng), incarnation, isObserver: rng.int(2) === 0 };
}

function record(rng: Rng): MemberRecord {
  const state = pick(rng, ['active', 'suspicious', 'failed', 'left'] as const);
  return {
    name: nodeId(`n${rng.int(9)}`),
    epoch: epoch(rng),
    incarnation: rng.int(9),
    state,
    host: pick(rng, ['127.0.0.1', 'host.example']),
    port: rng.int(65_536),
    streamPort: rng.int(65_536),
    bootWallMs: 1_700_000_000_000,
    ageMs: rng.int(100_000),
    stalledMs: rng.int(2) === 0 ? 0 : 1 + rng.int(5_000),
    ...(state === 'suspicious' ? { accuser: nodeId('n7'), holdMs: rng.int(3_000) } : {}),
  };
}

function message(rng: Rng): Message {
  const seq = rng.int(2 ** 31);
  const target = nodeId(`n${rng.int(9)}`);
  const who = { seq, target, targetEpoch: epoch(rng) };
  return pick<() => Message>(rng, [
    () => ({ type: 'ping', ...who, introduce: rng.int(2) === 0 }),
    () => ({ type: 'ack', seq, digest: [rng.nextU32(), rng.nextU32()] }),
    () => ({ type: 'ping-req', ...who, host: '127.0.0.1', port: rng.int(65_536) }),
    () => ({ type: 'indirect-ack', seq, target: sender(rng) }),
    () => ({ type: 'nack', seq }),
    () => ({ type: 'misdirected', seq }),
    () => ({ type: 'gossip' }),
    () => ({ type: 'sync-push' }),
  ])();
}

export const swimPackets: FuzzTarget = {
  name: 'swim-packets',
  summary: 'packets of the membership protocol (src/swim/codec.ts)',
  cases: 100_000,
  casesInTests: 5_000,
  sample(rng) {
    const rumours = Array.from({ length: rng.int(4) }, () => record(rng));
    return encodePacket(CLUSTER, { sender: sender(rng), message: message(rng), rumours });
  },
  repair(bytes) {
    if (bytes.length < CHECKSUM_BYTES) return bytes;
    const made = Buffer.from(bytes);
    made.writeUInt32BE(crc32c(made.subarray(CHECKSUM_BYTES)), 0);
    return Uint8Array.from(made);
  },
  check(input) {
    const read = decodePacket(CLUSTER, input);
    if (!read.ok) return 'refused';
    const again = decodePacket(CLUSTER, encodePacket(CLUSTER, read.packet));
    requireSame(read.packet, again.ok ? again.packet : again.detail, 'written and read again');
    return 'accepted';
  },
};
