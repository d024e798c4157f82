/**
 * Everything that belongs to one generation of the state: its rows and what is derived from them.
 * A snapshot's install builds a second world beside the first and swaps them in one step.
 *
 * One row says how far the others are, and what they sum up to (row-sum.ts). A world is loaded only
 * from rows that agree with it: LevelDB does not tell when it has lost some.
 */
import {
  crc32c,
  type DbRow,
  IdunnoError,
  type LogIndex,
  type Logger,
  type Ms,
  type Term,
} from '../base/index.js';
import { decode, encode } from '../net/index.js';
import { APPLIED } from './core-module.js';
import { Executor } from './executor.js';
import type { Generation } from './generation.js';
import { IndexSet } from './indexes.js';
import { encodeKey, keyToBytes } from './keys.js';
import { Layers } from './layers.js';
import type { ModuleRegistry } from './registry.js';
import { describeSum, isSameSum, type RowSum, RunningSum } from './row-sum.js';
import { Sessions } from './sessions.js';

/** How far the rows are; a row itself, written with each group. */
export interface AppliedPosition {
  readonly index: LogIndex;
  readonly term: Term;
  readonly timeMs: Ms;
}

export interface World {
  readonly generation: Generation;
  readonly rows: Layers;
  readonly indexes: IndexSet;
  readonly sessions: Sessions;
  readonly executor: Executor;
  position: AppliedPosition;
}

export const POSITION_KEY = encodeKey(APPLIED.bucket, [0]);
const POSITION_KEY_BYTES = keyToBytes(POSITION_KEY);
/** Version of the position row. */
const POSITION_VERSION = 1;

export interface WorldParts {
  readonly registry: ModuleRegistry;
  readonly log: Logger;
  readonly sessionCountMax?: number;
}

/** Throws CORRUPT where the rows are not what the position row says; `verified`: they are. */
export async function loadWorld(
  generation: Generation,
  { registry, log, sessionCountMax }: WorldParts,
  verified?: VerifiedRows,
): Promise<World> {
  const { position, sum } = verified ?? (await verifyRows(generation.db));
  const rows = new Layers(generation, sum);
  const indexes = await IndexSet.rebuild(registry, rows);
  const sessions = await Sessions.load(rows, sessionCountMax);
  const executor = new Executor({ registry, rows, indexes, sessions, log });
  return { generation, rows, indexes, sessions, executor, position };
}

export interface VerifiedRows {
  readonly position: AppliedPosition;
  readonly sum: RowSum;
}

/** Reads all rows. Throws CORRUPT, with what is wrong. */
export async function verifyRows(
  db: Pick<Generation['db'], 'scan' | 'pages'>,
): Promise<VerifiedRows> {
  const running = new RunningSum();
  let claimed: Uint8Array | undefined;
  for await (const rows of db.pages?.({}) ?? pagesOf(db.scan({}))) {
    for (const [key, value] of rows) {
      if (key[0] === APPLIED.bucket && isPositionKey(key)) claimed = value;
      else running.add(key, value);
    }
  }
  return agree(claimed, running.value);
}

async function* pagesOf(rows: AsyncIterable<DbRow>): AsyncGenerator<readonly DbRow[]> {
  for await (const row of rows) yield [row];
}

function isPositionKey(key: Uint8Array): boolean {
  return Buffer.compare(key, POSITION_KEY_BYTES) === 0;
}

/** Do the rows that were summed agree with their position row? */
export function agree(positionRow: Uint8Array | undefined, found: RowSum): VerifiedRows {
  if (positionRow === undefined) {
    if (found.rows > 0) throw damaged(`${found.rows} rows, and none says how far they are`);
    return { position: { index: 0, term: 0, timeMs: 0 }, sum: found };
  }
  const { position, sum } = decodePosition(positionRow);
  if (isSameSum(sum, found)) return { position, sum };
  throw damaged(
    `its rows add up to ${describeSum(found)}, but at index ${position.index} they were ` +
      describeSum(sum),
  );
}

/** Puts the position among the rows, to be written with them. */
export function writePosition({ position, rows }: World): void {
  const { index, term, timeMs } = position;
  const { rows: count, a, b } = rows.sum;
  const fields = [POSITION_VERSION, index, term, timeMs, count, a, b];
  rows.setUnsummed(POSITION_KEY, encode([...fields, crc32c(encode(fields))]));
}

function decodePosition(bytes: Uint8Array): VerifiedRows {
  let fields: unknown;
  try {
    fields = decode(bytes);
  } catch {
    fields = undefined;
  }
  if (!Array.isArray(fields) || fields.length !== 8)
    throw damaged('its position row is unreadable');
  const [version, index, term, timeMs, rows, a, b, crc] = fields as number[];
  if (crc !== crc32c(encode(fields.slice(0, 7)))) throw damaged('its position row is damaged');
  if (version !== POSITION_VERSION) throw damaged(`its position row has format ${version}`);
  const position = { index: index ?? 0, term: term ?? 0, timeMs: timeMs ?? 0 };
  return { position, sum: { rows: rows ?? 0, a: a ?? 0, b: b ?? 0 } };
}

function damaged(what: string): IdunnoError {
  return new IdunnoError('CORRUPT', `the state is damaged: ${what}`);
}
