/**
 * Packets of the membership protocol as bytes, the same over UDP and inside TCP frames:
 *
 *     u32 crc32c of all the rest | u8 version | u8 kind | u32 cluster
 *     sender: name, varint epoch, varint incarnation, u8 flags
 *     body of the kind
 *     varint count, then the rumours
 *
 * Numbers are big-endian or LEB128 varints below 2^53; texts are a length byte and ASCII. The
 * checksum finds damage, the cluster number keeps clusters apart that meet on one network; neither
 * keeps out someone who means harm (that is what sealing the packets is for).
 *
 * Decoding is strict (no trailing bytes, no unknown flags, every count bounded before anything is
 * allocated for it) and never throws: what is not a packet comes back as the reason why.
 */
import { assertNever, crc32c, type NodeId } from '../base/index.js';
import { Malformed, Reader, varintBytes, Writer } from './bytes.js';
import { FRAME_BYTES_MAX, MEMBERS_MAX, SYNC_BUCKETS_MAX, SYNC_RECORDS_MAX } from './config.js';
import type { ClaimState, MemberRecord, Message, Packet, Sender } from './messages.js';

export const WIRE_VERSION = 1;

const KINDS = [
  'ping',
  'ack',
  'ping-req',
  'indirect-ack',
  'nack',
  'misdirected',
  'gossip',
  'sync',
  'sync-reply',
  'sync-push',
] as const satisfies readonly Message['type'][];

const STATES = ['active', 'suspicious', 'failed', 'left'] as const satisfies readonly ClaimState[];

const CRC_BYTES = 4;
const HEADER_BYTES = 10;
const STATE_MASK = 0x03;
const STALLED_FLAG = 0x10;
const RECORD_BYTES_MIN = 14;

/** Ages are capped: a day says as much as a week, and takes four bytes. */
const AGE_MAX_MS = 86_400_000;

/** Why bytes are no packet of ours; counted by the receiver. */
export type Refusal = 'too-short' | 'too-long' | 'version' | 'cluster' | 'checksum' | 'malformed';

export type Decoded =
  | { readonly ok: true; readonly packet: Packet }
  | { readonly ok: false; readonly refusal: Refusal; readonly detail: string };

/** FNV-1a of the cluster's name: tells clusters apart, is no secret. */
export function clusterNumber(cluster: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(cluster)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0;
}

/** One buffer for all: encoding neither waits nor nests. */
const scratch = new Writer(FRAME_BYTES_MAX);

/** The bytes of a packet, a copy that belongs to the caller. */
export function encodePacket(cluster: number, packet: Packet): Uint8Array {
  const out = scratch;
  out.reset();
  out.u32(0);
  out.u8(WIRE_VERSION);
  out.u8(KINDS.indexOf(packet.message.type));
  out.u32(cluster);
  writeSender(out, packet.sender);
  writeMessage(out, packet.message);
  out.varint(packet.rumours.length);
  for (const record of packet.rumours) writeRecord(out, record);
  const bytes = out.copy();
  new DataView(bytes.buffer).setUint32(0, checksum(bytes));
  return bytes;
}

/** Bytes of a packet without rumours, leaving three for their count. */
export function emptyPacketBytes(sender: Sender, message: Message): number {
  return HEADER_BYTES + senderBytes(sender) + messageBytes(message) + 3;
}

/** Bytes that the record takes among the rumours. */
export function recordBytes(record: MemberRecord): number {
  let bytes = 1 + 1 + record.name.length + varintBytes(record.epoch);
  bytes += varintBytes(record.incarnation) + 1 + record.host.length + 4;
  bytes += varintBytes(wholeMs(record.bootWallMs)) + varintBytes(wholeAge(record.ageMs));
  if (record.stalledMs > 0) bytes += varintBytes(wholeAge(record.stalledMs));
  if (record.state === 'suspicious') {
    bytes += varintBytes(wholeAge(record.holdMs ?? 0)) + 1 + (record.accuser ?? '').length;
  }
  return bytes;
}

/** The packet, or why these bytes are none. Never throws. */
export function decodePacket(cluster: number, bytes: Uint8Array): Decoded {
  if (bytes.length < HEADER_BYTES) return refuse('too-short', `${bytes.length} bytes`);
  if (bytes.length > FRAME_BYTES_MAX) return refuse('too-long', `${bytes.length} bytes`);
  const input = new Reader(bytes);
  const expected = input.u32();
  const version = input.u8();
  if (version !== WIRE_VERSION) return refuse('version', `version ${version}`);
  const kind = KINDS[input.u8()];
  if (input.u32() !== cluster) return refuse('cluster', 'another cluster');
  if (expected !== checksum(bytes)) return refuse('checksum', 'damaged');
  if (kind === undefined) return refuse('malformed', 'unknown kind');
  try {
    const sender = readSender(input);
    const message = readMessage(input, kind);
    const rumours = readRecords(input);
    if (input.remaining > 0) return refuse('malformed', 'bytes after the end');
    return { ok: true, packet: { sender, message, rumours } };
  } catch (error) {
    if (error instanceof Malformed) return refuse('malformed', error.message);
    throw error;
  }
}

function refuse(refusal: Refusal, detail: string): Decoded {
  return { ok: false, refusal, detail };
}

function checksum(bytes: Uint8Array): number {
  return crc32c(bytes.subarray(CRC_BYTES));
}

function wholeMs(ms: number): number {
  return Math.max(0, Math.round(ms));
}

function wholeAge(ms: number): number {
  return Math.min(AGE_MAX_MS, wholeMs(ms));
}

function senderBytes(sender: Sender): number {
  return 2 + sender.name.length + varintBytes(sender.epoch) + varintBytes(sender.incarnation);
}

function writeSender(out: Writer, sender: Sender): void {
  out.text(sender.name);
  out.varint(sender.epoch);
  out.varint(sender.incarnation);
  out.u8(sender.isObserver ? 1 : 0);
}

function readSender(input: Reader): Sender {
  const name = input.name();
  const epoch = input.varint();
  const incarnation = input.varint();
  return { name, epoch, incarnation, isObserver: readFlag(input) };
}

function readFlag(input: Reader): boolean {
  const flag = input.u8();
  if (flag > 1) throw new Malformed('a flag is neither set nor clear');
  return flag === 1;
}

function messageBytes(message: Message): number {
  switch (message.type) {
    case 'ping':
      return 4 + 1 + message.target.length + varintBytes(message.targetEpoch) + 1;
    case 'ack':
      return 12;
    case 'ping-req':
      return 4 + 1 + message.target.length + 8 + 1 + message.host.length + 2;
    case 'indirect-ack':
      return 4 + senderBytes(message.target);
    case 'nack':
    case 'misdirected':
      return 4;
    case 'gossip':
    case 'sync-push':
      return 0;
    case 'sync':
      return 3 + 4 * message.hashes.length;
    case 'sync-reply':
      return 6 + 2 * message.buckets.length;
    default:
      return assertNever(message, 'message');
  }
}

function writeMessage(out: Writer, message: Message): void {
  switch (message.type) {
    case 'ping':
      out.u32(message.seq);
      out.text(message.target);
      out.varint(message.targetEpoch);
      out.u8(message.introduce ? 1 : 0);
      return;
    case 'ack':
      out.u32(message.seq);
      out.u32(message.digest[0]);
      out.u32(message.digest[1]);
      return;
    case 'ping-req':
      out.u32(message.seq);
      out.text(message.target);
      out.varint(message.targetEpoch);
      out.text(message.host);
      out.u16(message.port);
      return;
    case 'indirect-ack':
      out.u32(message.seq);
      writeSender(out, message.target);
      return;
    case 'nack':
    case 'misdirected':
      out.u32(message.seq);
      return;
    case 'gossip':
    case 'sync-push':
      return;
    case 'sync':
      out.varint(message.hashes.length);
      for (const hash of message.hashes) out.u32(hash);
      return;
    case 'sync-reply':
      out.varint(message.bucketCount);
      out.varint(message.buckets.length);
      for (const bucket of message.buckets) out.u16(bucket);
      return;
    default:
      assertNever(message, 'message');
  }
}

function readMessage(input: Reader, kind: Message['type']): Message {
  switch (kind) {
    case 'ping': {
      const seq = input.u32();
      const target = input.name();
      const targetEpoch = input.varint();
      return { type: kind, seq, target, targetEpoch, introduce: readFlag(input) };
    }
    case 'ack': {
      const seq = input.u32();
      const low = input.u32();
      return { type: kind, seq, digest: [low, input.u32()] };
    }
    case 'ping-req': {
      const seq = input.u32();
      const target = input.name();
      const targetEpoch = input.varint();
      const host = input.host();
      return { type: kind, seq, target, targetEpoch, host, port: readPort(input) };
    }
    case 'indirect-ack': {
      const seq = input.u32();
      return { type: kind, seq, target: readSender(input) };
    }
    case 'nack':
    case 'misdirected':
      return { type: kind, seq: input.u32() };
    case 'gossip':
    case 'sync-push':
      return { type: kind };
    case 'sync':
      return readSync(input);
    case 'sync-reply':
      return readSyncReply(input);
    default:
      return assertNever(kind, 'kind of message');
  }
}

function readSync(input: Reader): Message {
  const count = readCount(input, 2 * SYNC_BUCKETS_MAX, 4);
  const bucketCount = count / 2;
  if (!isBucketCount(bucketCount)) throw new Malformed('no power of two of buckets');
  const hashes: number[] = [];
  for (let i = 0; i < count; i++) hashes.push(input.u32());
  return { type: 'sync', hashes };
}

function readSyncReply(input: Reader): Message {
  const bucketCount = input.varint();
  if (!isBucketCount(bucketCount)) throw new Malformed('no power of two of buckets');
  const count = readCount(input, bucketCount, 2);
  const buckets: number[] = [];
  for (let i = 0; i < count; i++) {
    const bucket = input.u16();
    const previous = buckets[i - 1] ?? -1;
    if (bucket <= previous || bucket >= bucketCount) throw new Malformed('no such bucket');
    buckets.push(bucket);
  }
  return { type: 'sync-reply', bucketCount, buckets };
}

function isBucketCount(count: number): boolean {
  return count >= 1 && count <= SYNC_BUCKETS_MAX && (count & (count - 1)) === 0;
}

/** A count that the rest of the input can hold: allocation is bounded by what was received. */
function readCount(input: Reader, countMax: number, itemBytesMin: number): number {
  const count = input.varint();
  if (count > countMax || count * itemBytesMin > input.remaining) {
    throw new Malformed('a count is larger than what follows');
  }
  return count;
}

function readPort(input: Reader): number {
  const port = input.u16();
  if (port === 0) throw new Malformed('port 0');
  return port;
}

function writeRecord(out: Writer, record: MemberRecord): void {
  const stalled = record.stalledMs > 0 ? STALLED_FLAG : 0;
  out.u8(STATES.indexOf(record.state) | stalled);
  out.text(record.name);
  out.varint(record.epoch);
  out.varint(record.incarnation);
  out.text(record.host);
  out.u16(record.port);
  out.u16(record.streamPort);
  out.varint(wholeMs(record.bootWallMs));
  out.varint(wholeAge(record.ageMs));
  if (stalled !== 0) out.varint(Math.max(1, wholeAge(record.stalledMs)));
  if (record.state !== 'suspicious') return;
  out.varint(wholeAge(record.holdMs ?? 0));
  out.text(record.accuser ?? record.name);
}

function readRecords(input: Reader): MemberRecord[] {
  const count = readCount(input, Math.min(SYNC_RECORDS_MAX, MEMBERS_MAX), RECORD_BYTES_MIN);
  const records: MemberRecord[] = [];
  for (let i = 0; i < count; i++) records.push(readRecord(input));
  return records;
}

function readRecord(input: Reader): MemberRecord {
  const flags = input.u8();
  if ((flags & ~(STATE_MASK | STALLED_FLAG)) !== 0) throw new Malformed('unknown flags');
  const state = STATES[flags & STATE_MASK];
  if (state === undefined) throw new Malformed('unknown state');
  const base = {
    name: input.name(),
    epoch: input.varint(),
    incarnation: input.varint(),
    state,
    host: input.host(),
    port: readPort(input),
    streamPort: input.u16(),
    bootWallMs: input.varint(),
    ageMs: readAge(input),
    stalledMs: (flags & STALLED_FLAG) === 0 ? 0 : readAge(input),
  };
  if (state !== 'suspicious') return base;
  const holdMs = readAge(input);
  const accuser: NodeId = input.name();
  return { ...base, holdMs, accuser };
}

function readAge(input: Reader): number {
  const ageMs = input.varint();
  if (ageMs > AGE_MAX_MS) throw new Malformed('an age is too large');
  return ageMs;
}
