/**
 * The records of a log query's answer. They stand here because three sides read the same stream:
 * the node that scans writes it, the node in between passes its bytes on, and the client, which
 * knows nothing of a node's insides, takes it apart.
 *
 *     ['lines', node, segment, offsets, lengths] + the lines, without newlines, behind each other
 *     ['alive', node]                             its scan goes on; once a second
 *     ['end', node, status, matches, bytes, ms, error or null]   exactly one for each node
 */
import { z } from 'zod';
import { assertNever, IdunnoError, type Ms } from '../base/index.js';
import { type BodyRecord, writeRecord } from './records.js';

/**
 * `ok`: all of its log was searched, or as much as `max` asked for. `down`: it could not be reached,
 * or ended in the middle. `silent`: nothing was heard of it any more. `timeout`: it was not done in
 * its time. `failed`: it said why. All but `ok` may have delivered lines.
 */
export type LogNodeStatus = 'ok' | 'down' | 'silent' | 'timeout' | 'failed';

/** How one node's part of a query ended. */
export interface LogNodeReport {
  readonly node: string;
  readonly status: LogNodeStatus;
  readonly matches: number;
  /** Searched. */
  readonly bytes: number;
  readonly ms: Ms;
  readonly error: string | null;
}

export type LogRecord =
  | {
      readonly kind: 'lines';
      readonly node: string;
      readonly segment: string;
      readonly offsets: readonly number[];
      /** As many as offsets; the record's raw bytes are the lines. */
      readonly lengths: readonly number[];
    }
  | { readonly kind: 'alive'; readonly node: string }
  | ({ readonly kind: 'end' } & LogNodeReport);

const whole = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const linesHeader = z.tuple([
  z.literal('lines'),
  z.string(),
  z.string(),
  z.array(whole),
  z.array(whole),
]);
const endHeader = z.tuple([
  z.literal('end'),
  z.string(),
  z.enum(['ok', 'down', 'silent', 'timeout', 'failed']),
  whole,
  whole,
  whole,
  z.string().nullable(),
]);
const headers = z.union([linesHeader, z.tuple([z.literal('alive'), z.string()]), endHeader]);

export function writeLogRecord(record: LogRecord, lines?: Uint8Array): Uint8Array {
  switch (record.kind) {
    case 'lines': {
      const { node, segment, offsets, lengths } = record;
      return writeRecord(['lines', node, segment, offsets, lengths], lines);
    }
    case 'alive':
      return writeRecord(['alive', record.node]);
    case 'end': {
      const { node, status, matches, bytes, ms, error } = record;
      return writeRecord(['end', node, status, matches, bytes, ms, error]);
    }
    default:
      return assertNever(record);
  }
}

/** Throws PROTOCOL for what is no such record, or whose lines are not as long as it says. */
export function readLogRecord({ header, raw }: BodyRecord): LogRecord {
  const parsed = headers.safeParse(header);
  if (!parsed.success) throw malformed();
  const { data } = parsed;
  if (data[0] === 'alive') return { kind: 'alive', node: data[1] };
  if (data[0] === 'end') {
    const [kind, node, status, matches, bytes, ms, error] = data;
    return { kind, node, status, matches, bytes, ms, error };
  }
  const [kind, node, segment, offsets, lengths] = data;
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (offsets.length !== lengths.length || total !== raw.length) throw malformed();
  return { kind, node, segment, offsets, lengths };
}

function malformed(): IdunnoError {
  return new IdunnoError('PROTOCOL', 'a record of a log query is malformed');
}
