import t from 'tap';
import { crc32c, createSeededRng, nodeId, type Rng } from '../../src/base/index.js';
import {
  type ClaimState,
  clusterNumber,
  decodePacket,
  emptyPacketBytes,
  encodePacket,
  type MemberRecord,
  type Message,
  type Packet,
  recordBytes,
  WIRE_VERSION,
} from '../../src/swim/index.js';
import { record, suspicion } from './harness.js';

const CLUSTER = clusterNumber('test');

function anyName(rng: Rng) {
  const alphabet = 'abcXYZ019._-';
  const tail = Array.from({ length: rng.int(64) }, () => alphabet[rng.int(alphabet.length)]);
  return nodeId(`n${tail.join('')}`);
}

function anyNumber(rng: Rng): number {
  return Math.floor(2 ** (53 * rng.float())) - 1;
}

function anyRecord(rng: Rng): MemberRecord {
  const states: readonly ClaimState[] = ['active', 'suspicious', 'failed', 'left'];
  const state = states[rng.int(4)] ?? 'active';
  const base: MemberRecord = {
    name: anyName(rng),
    epoch: anyNumber(rng),
    incarnation: anyNumber(rng),
    state,
    host: rng.int(2) === 0 ? '192.168.17.4' : 'host-17.example.org',
    port: 1 + rng.int(65_535),
    streamPort: rng.int(65_536),
    bootWallMs: rng.int(2 ** 41),
    ageMs: rng.int(86_400_001),
    stalledMs: rng.int(2) === 0 ? 0 : 1 + rng.int(100_000),
  };
  if (state !== 'suspicious') return base;
  return { ...base, holdMs: rng.int(10_000), accuser: anyName(rng) };
}

function anyMessage(rng: Rng): Message {
  const seq = rng.nextU32();
  const target = anyName(rng);
  const targetEpoch = anyNumber(rng);
  switch (rng.int(10)) {
    case 0:
      return { type: 'ping', seq, target, targetEpoch, introduce: rng.int(2) === 0 };
    case 1:
      return { type: 'ack', seq, digest: [rng.nextU32(), rng.nextU32()] };
    case 2:
      return { type: 'ping-req', seq, target, targetEpoch, host: '10.0.0.9', port: 1 + rng.int(9) };
    case 3: {
      const incarnation = anyNumber(rng);
      return {
        type: 'indirect-ack',
        seq,
        target: { name: target, epoch: targetEpoch, incarnation, isObserver: false },
      };
    }
    case 4:
      return { type: 'nack', seq };
    case 5:
      return { type: 'misdirected', seq };
    case 6:
      return { type: 'gossip' };
    case 7:
      return {
        type: 'sync',
        hashes: Array.from({ length: 2 ** (1 + rng.int(9)) }, () => rng.nextU32()),
      };
    case 8: {
      const bucketCount = 2 ** rng.int(9);
      const buckets = Array.from({ length: bucketCount }, (_, i) => i).filter(
        () => rng.int(2) === 0,
      );
      return { type: 'sync-reply', bucketCount, buckets };
    }
    default:
      return { type: 'sync-push' };
  }
}

function anyPacket(rng: Rng): Packet {
  return {
    sender: {
      name: anyName(rng),
      epoch: anyNumber(rng),
      incarnation: anyNumber(rng),
      isObserver: rng.int(2) === 0,
    },
    message: anyMessage(rng),
    rumours: Array.from({ length: rng.int(8) }, () => anyRecord(rng)),
  };
}

t.test('every packet decodes to what was encoded', async (t) => {
  const rng = createSeededRng('codec');
  for (let i = 0; i < 2000; i++) {
    const packet = anyPacket(rng);
    const decoded = decodePacket(CLUSTER, encodePacket(CLUSTER, packet));
    if (!decoded.ok) t.fail(`refused a packet of ours: ${decoded.detail}`);
    else if (JSON.stringify(decoded.packet) !== JSON.stringify(packet))
      t.same(decoded.packet, packet);
  }
  t.pass('2000 random packets');
});

t.test('the size of a packet is known before it is encoded', async (t) => {
  const rng = createSeededRng('sizes');
  for (let i = 0; i < 1000; i++) {
    const packet = anyPacket(rng);
    const foreseen = packet.rumours.reduce((sum, it) => sum + recordBytes(it), 0);
    const bytes = encodePacket(CLUSTER, packet).length;
    const bound = emptyPacketBytes(packet.sender, packet.message) + foreseen;
    if (bytes > bound || bytes < bound - 24) t.fail(`${bytes} B, foreseen ${bound} B`);
  }
  t.pass('1000 random packets');
});

t.test('damage anywhere in a packet is found', async (t) => {
  const packet = {
    ...anyPacket(createSeededRng('damage')),
    rumours: [record('n2'), suspicion('n3')],
  };
  const bytes = encodePacket(CLUSTER, packet);
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [1, 128]) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ bit;
      if (decodePacket(CLUSTER, damaged).ok) t.fail(`a flipped bit at ${at} goes unnoticed`);
    }
  }
  t.pass(`${bytes.length} bytes`);
});

t.test('a packet says why it is refused', async (t) => {
  const bytes = encodePacket(CLUSTER, {
    sender: { name: nodeId('n1'), epoch: 1, incarnation: 1, isObserver: false },
    message: { type: 'gossip' },
    rumours: [],
  });
  const refusal = (input: Uint8Array, cluster = CLUSTER) => {
    const decoded = decodePacket(cluster, input);
    return decoded.ok ? 'ok' : decoded.refusal;
  };
  t.equal(refusal(bytes), 'ok');
  t.equal(refusal(bytes.subarray(0, 9)), 'too-short');
  t.equal(refusal(new Uint8Array(0)), 'too-short');
  t.equal(refusal(new Uint8Array(2 ** 20 + 1)), 'too-long');
  t.equal(refusal(bytes, clusterNumber('other')), 'cluster');
  t.equal(refusal(bytes.subarray(0, bytes.length - 1)), 'checksum');
  const newer = bytes.slice();
  newer[4] = WIRE_VERSION + 1;
  t.equal(refusal(newer), 'version');
});

t.test('no input makes the decoder throw, and none is taken for a packet', async (t) => {
  const rng = createSeededRng('fuzz');
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = encodePacket(CLUSTER, anyPacket(rng));
    const mutant = mutate(rng, bytes);
    // With a right checksum, so that the damage reaches the parser behind it.
    const decoded = decodePacket(CLUSTER, withChecksum(mutant));
    if (decoded.ok) accepted++;
  }
  t.ok(accepted > 0, 'some mutations only change a value');
  for (let i = 0; i < 20_000; i++) {
    const noise = Uint8Array.from({ length: rng.int(200) }, () => rng.int(256));
    if (decodePacket(CLUSTER, noise).ok) t.fail('noise was taken for a packet');
  }
});

t.test('counts that exceed the input are refused before anything is allocated', async (t) => {
  const base = encodePacket(CLUSTER, {
    sender: { name: nodeId('n1'), epoch: 1, incarnation: 1, isObserver: false },
    message: { type: 'gossip' },
    rumours: [],
  });
  // The last byte is the count of rumours: claim two million of them.
  const hostile = new Uint8Array(base.length + 2);
  hostile.set(base);
  hostile.set([0xff, 0xff, 0x7f], base.length - 1);
  const decoded = decodePacket(CLUSTER, withChecksum(hostile));
  t.equal(decoded.ok ? 'ok' : decoded.detail, 'a count is larger than what follows');
});

function mutate(rng: Rng, bytes: Uint8Array): Uint8Array {
  const mutant = bytes.slice();
  for (let i = 0; i <= rng.int(4); i++) {
    const at = 10 + rng.int(Math.max(1, mutant.length - 10));
    if (at < mutant.length) mutant[at] = rng.int(256);
  }
  return rng.int(3) === 0 ? mutant.subarray(0, 10 + rng.int(mutant.length - 9)) : mutant;
}

function withChecksum(bytes: Uint8Array): Uint8Array {
  const sealed = bytes.slice();
  new DataView(sealed.buffer).setUint32(0, crc32c(sealed.subarray(4)));
  return sealed;
}
