/** The shapes of types.ts on the wire. What does not fit is refused with PROTOCOL. */
import { z } from 'zod';
import { type Wire, writeLogRecord } from '../net/index.js';
import type { LogQuery, NodeQuery, NodeReport, ScanEvent } from './types.js';

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
  if (event.kind === 'end') return writeReport({ node, ...event.report });
  if (event.kind === 'alive') return writeLogRecord({ kind: 'alive', node });
  const { segment, offsets, lengths } = event;
  return writeLogRecord({ kind: 'lines', node, segment, offsets, lengths }, event.bytes);
}

export function writeReport(report: NodeReport): Uint8Array {
  return writeLogRecord({ kind: 'end', ...report });
}
