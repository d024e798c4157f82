/**
 * Bodies that are read piece by piece: uploads (src/cli/pack.ts), records of a log query (src/net) and
 * snapshots of the state (src/store/snapshot-stream.ts). The first byte of a case says which.
 */
import { createHash } from 'node:crypto';
import type { Rng } from '../../src/base/index.js';
import { packFiles, type PackedFile, unpackFiles } from '../../src/cli/pack.js';
import { readLogRecord, readRecords, type Wire, writeLogRecord } from '../../src/net/index.js';
import { encodeKey, keyFromBytes, type RowKey } from '../../src/store/keys.js';
import { decodeSnapshot, encodeSnapshot } from '../../src/store/snapshot-stream.js';
import type { FuzzTarget, Verdict } from '../types.js';
import { bodyOf, bytesOf, pick, refusedWith, requireSame } from './support.js';

interface Stream {
  sample(rng: Rng): Uint8Array;
  repair?(bytes: Uint8Array): Uint8Array;
  check(bytes: Uint8Array): Promise<Verdict>;
}

const LIMITS = { fileBytesMax: 100, filesMax: 5, totalBytesMax: 1_000 };

const uploads: Stream = {
  sample(rng: Rng): Uint8Array {
    const files = Array.from({ length: rng.int(4) }, () => {
      return { name: pick(rng, ['a', 'b/c.png', 'é']), bytes: bytesOf(rng, 30) };
    });
    return Uint8Array.from(Buffer.concat(packFiles(files)));
  },
  async check(bytes: Uint8Array): Promise<Verdict> {
    const files: PackedFile[] = [];
    try {
      for await (const file of unpackFiles(bodyOf(bytes), LIMITS)) files.push(file);
    } catch (error) {
      return refusedWith(error, 'PROTOCOL', 'BAD_NAME');
    }
    requireSame(Buffer.concat(packFiles(files)), Buffer.from(bytes), 'packed again');
    return 'accepted';
  },
};

function logRecord(rng: Rng): Uint8Array {
  if (rng.int(3) === 0) return writeLogRecord({ kind: 'alive', node: 'n1' });
  if (rng.int(2) === 0) {
    const error = rng.int(2) === 0 ? null : 'disk';
    const report = { node: 'n2', status: 'failed', matches: 3, bytes: 9, ms: 4, error } as const;
    return writeLogRecord({ kind: 'end', ...report });
  }
  const lines = Array.from({ length: rng.int(4) }, () => bytesOf(rng, 9));
  const lengths = lines.map(({ length }) => length);
  const offsets = lengths.map((_, nth) => nth * 10);
  const head = { kind: 'lines', node: 'n1', segment: 'node.log.1', offsets, lengths } as const;
  return writeLogRecord(head, Buffer.concat(lines));
}

const records: Stream = {
  sample: (rng: Rng): Uint8Array =>
    Uint8Array.from(Buffer.concat(Array.from({ length: rng.int(4) }, () => logRecord(rng)))),
  async check(bytes: Uint8Array): Promise<Verdict> {
    const written: Uint8Array[] = [];
    const read: Wire[] = [];
    try {
      for await (const record of readRecords(bodyOf(bytes))) {
        const said = readLogRecord(record);
        written.push(writeLogRecord(said, said.kind === 'lines' ? record.raw : undefined));
        read.push([{ ...said }, said.kind === 'lines' ? record.raw : null]);
      }
    } catch (error) {
      return refusedWith(error, 'PROTOCOL');
    }
    const again: Wire[] = [];
    for await (const record of readRecords(bodyOf(Uint8Array.from(Buffer.concat(written))))) {
      const said = readLogRecord(record);
      again.push([{ ...said }, said.kind === 'lines' ? record.raw : null]);
    }
    requireSame(read, again, 'written and read again');
    return 'accepted';
  },
};

const HEADER = { index: 7, term: 3 };
const DIGEST_BYTES = 32;

async function written(rows: readonly (readonly [RowKey, Uint8Array])[]): Promise<Uint8Array> {
  const source = (async function* () {
    yield* rows;
  })();
  const chunks: Uint8Array[] = [];
  for await (const chunk of encodeSnapshot(HEADER, source)) chunks.push(chunk);
  return Uint8Array.from(Buffer.concat(chunks));
}

/** Without promises, because samples are made at once: the stream's form is small enough. */
function snapshotOf(rng: Rng): Uint8Array {
  const head = Buffer.alloc(21);
  head.write('IDST\u0001', 'latin1');
  head.writeUInt32BE(HEADER.index, 9);
  head.writeUInt32BE(HEADER.term, 17);
  const keys = [...new Set(Array.from({ length: rng.int(4) }, () => rng.int(50)))];
  const rows = keys
    .sort((a, b) => a - b)
    .flatMap((number) => {
      const [key, value] = [Buffer.from(encodeKey(9, [number]), 'latin1'), bytesOf(rng, 20)];
      const sizes = Buffer.alloc(8);
      sizes.writeUInt32BE(key.length, 0);
      sizes.writeUInt32BE(value.length, 4);
      return [sizes, key, value];
    });
  const end = Buffer.alloc(16);
  end.writeUInt32BE(keys.length, 12);
  const body = Buffer.concat([head, ...rows, end]);
  return Uint8Array.from(Buffer.concat([body, createHash('sha256').update(body).digest()]));
}

const snapshots: Stream = {
  sample: snapshotOf,
  repair(bytes: Uint8Array): Uint8Array {
    const body = bytes.slice(0, Math.max(0, bytes.length - DIGEST_BYTES));
    return Uint8Array.from(Buffer.concat([body, createHash('sha256').update(body).digest()]));
  },
  async check(bytes: Uint8Array): Promise<Verdict> {
    const rows: [RowKey, Uint8Array][] = [];
    try {
      for await (const { key, value } of decodeSnapshot(HEADER, bodyOf(bytes))) {
        rows.push([keyFromBytes(key), value]);
      }
    } catch (error) {
      return refusedWith(error, 'CORRUPT');
    }
    requireSame(await written(rows), bytes, 'written again');
    return 'accepted';
  },
};

const STREAMS: readonly Stream[] = [uploads, records, snapshots];

function streamOf(input: Uint8Array): Stream {
  return STREAMS[(input[0] ?? 0) % STREAMS.length] ?? uploads;
}

export const streams: FuzzTarget = {
  name: 'streams',
  summary: 'uploads, answers of log queries and snapshots (src/cli, src/net, src/store)',
  cases: 60_000,
  casesInTests: 1_500,
  sample(rng) {
    const at = rng.int(STREAMS.length);
    return Uint8Array.from([at, ...(STREAMS[at] ?? uploads).sample(rng)]);
  },
  repair(input) {
    const rest = input.slice(1);
    return Uint8Array.from([input[0] ?? 0, ...(streamOf(input).repair?.(rest) ?? rest)]);
  },
  check: (input) => streamOf(input).check(input.slice(1)),
};
