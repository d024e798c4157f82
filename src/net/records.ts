/**
 * Records in the body of a call: a small header and raw bytes, one record after another.
 *
 *     u32 header bytes | u32 raw bytes | header (msgpack) | raw
 *
 * For streams whose pieces mean something by themselves. Sizes are bounded before anything is
 * allocated; a body that ends inside a record, or with a larger one, is refused with PROTOCOL.
 */
import { IdunnoError, KIB, MIB } from '../base/index.js';
import { decode, encode } from './codec.js';
import type { Wire } from './types.js';

export interface BodyRecord {
  readonly header: Wire;
  readonly raw: Uint8Array;
}

const SIZES_BYTES = 8;
const HEADER_BYTES_MAX = 256 * KIB;
const RAW_BYTES_MAX = 16 * MIB;

export function writeRecord(header: Wire, raw: Uint8Array = new Uint8Array(0)): Uint8Array {
  const head = encode(header);
  const record = new Uint8Array(SIZES_BYTES + head.length + raw.length);
  const view = new DataView(record.buffer);
  view.setUint32(0, head.length);
  view.setUint32(4, raw.length);
  record.set(head, SIZES_BYTES);
  record.set(raw, SIZES_BYTES + head.length);
  return record;
}

/** The records as they arrive. Ending the iteration ends the body's. */
export async function* readRecords(body: AsyncIterable<Uint8Array>): AsyncGenerator<BodyRecord> {
  let pending = Buffer.alloc(0);
  for await (const chunk of body) {
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    let at = 0;
    for (;;) {
      const found = recordAt(pending, at);
      if (found === undefined) break;
      yield found.record;
      at = found.end;
    }
    pending = pending.subarray(at);
  }
  if (pending.length > 0) throw new IdunnoError('PROTOCOL', 'a body ends inside a record');
}

function recordAt(bytes: Buffer, at: number): { record: BodyRecord; end: number } | undefined {
  if (bytes.length - at < SIZES_BYTES) return undefined;
  const headBytes = bytes.readUInt32BE(at);
  const rawBytes = bytes.readUInt32BE(at + 4);
  if (headBytes > HEADER_BYTES_MAX || rawBytes > RAW_BYTES_MAX) {
    throw new IdunnoError('PROTOCOL', `a record of ${headBytes} and ${rawBytes} bytes`);
  }
  const start = at + SIZES_BYTES;
  const end = start + headBytes + rawBytes;
  if (bytes.length < end) return undefined;
  const header = decode(bytes.subarray(start, start + headBytes)) as Wire;
  return { record: { header, raw: bytes.subarray(start + headBytes, end) }, end };
}
