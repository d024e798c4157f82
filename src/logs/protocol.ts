/** The shapes of types.ts on the wire. What does not fit is refused with PROTOCOL. */
import { z } from 'zod';
import { IdunnoError } from '../base/index.js';
import { type BodyRecord, type Wire, writeRecord } from '../net/index.js';
import { type LogQuery, NODE_STATUSES, type NodeQuery, type NodeReport } from './types.js';
import type { ScanEvent } from './types.js';

export const LOG_METHODS = { scan: 'logs.scan', clear: 'logs.clear' } as const;

/** A pattern is typed by a person. */
export const PATTERN_CHARS_MAX = 4_096;

const whole = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);

/** [pattern, syntax, ignoreCase, invert, countOnly, max or null]. */
export const querySchema = z.tuple([
  z.string().max(PATTERN_CHARS_MAX),
  z.enum(['basic', 'extended', 'fixed']),
  z.boolean(),
  z.boolean(),
  z.boolean(),
  whole.nullable(),
]);

/** The query, then [skip, budgetMs]. */
export const nodeQuerySchema = z.tuple([querySchema, whole, whole.min(1)]);

export function readQuery(wire: z.infer<typeof querySchema>): LogQuery {
  const [pattern, syntax, ignoreCase, invert, countOnly, max] = wire;
  return { pattern, syntax, ignoreCase, invert, countOnly, max };
}

export function writeQuery(query: LogQuery): Wire[] {
  const { pattern, syntax, ignoreCase, invert, countOnly, max } = query;
  return [pattern, syntax, ignoreCase, invert, countOnly, max];
}

export function readNodeQuery([query, skip, budgetMs]: z.infer<typeof nodeQuerySchema>): NodeQuery {
  return { ...readQuery(query), skip, budgetMs };
}

export function writeNodeQuery(query: NodeQuery): Wire[] {
  return [writeQuery(query), query.skip, query.budgetMs];
}

export function writeEvent(node: string, event: ScanEvent): Uint8Array {
  switch (event.kind) {
    case 'lines':
      return writeRecord(['lines', node, event.segment, event.offsets, event.lengths], event.bytes);
    case 'alive':
      return writeRecord(['alive', node]);
    case 'end':
      return writeReport({ node, ...event.report });
  }
}

export function writeReport({ node, status, matches, bytes, ms, error }: NodeReport): Uint8Array {
  return writeRecord(['end', node, status, matches, bytes, ms, error]);
}

/** What a record says of its node's progress; the rest of it is passed on unread. */
export type Passing =
  | { readonly kind: 'lines'; readonly count: number }
  | { readonly kind: 'alive' }
  | { readonly kind: 'end'; readonly report: NodeReport };

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
  z.enum(NODE_STATUSES as [NodeReport['status'], ...NodeReport['status'][]]),
  whole,
  whole,
  whole,
  z.string().nullable(),
]);
const headers = z.union([linesHeader, z.tuple([z.literal('alive'), z.string()]), endHeader]);

export function readPassing({ header }: BodyRecord): Passing {
  const parsed = headers.safeParse(header);
  if (!parsed.success) throw new IdunnoError('PROTOCOL', 'a record of a log query is malformed');
  const { data } = parsed;
  if (data[0] === 'lines') return { kind: 'lines', count: data[3].length };
  if (data[0] === 'alive') return { kind: 'alive' };
  const [, node, status, matches, bytes, ms, error] = data;
  return { kind: 'end', report: { node, status, matches, bytes, ms, error } };
}
