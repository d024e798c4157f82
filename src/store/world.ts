/**
 * Everything that belongs to one generation of the state: its rows and what is derived from them.
 * A snapshot's install builds a second world beside the first and swaps them in one step.
 */
import type { LogIndex, Logger, Ms, Term } from '../base/index.js';
import { decode, encode } from '../net/index.js';
import { APPLIED } from './core-module.js';
import { Executor } from './executor.js';
import type { Generation } from './generation.js';
import { IndexSet } from './indexes.js';
import { encodeKey } from './keys.js';
import { Layers } from './layers.js';
import type { ModuleRegistry } from './registry.js';
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

const POSITION_KEY = encodeKey(APPLIED.bucket, [0]);

export interface WorldParts {
  readonly registry: ModuleRegistry;
  readonly log: Logger;
  readonly sessionCountMax?: number;
}

export async function loadWorld(
  generation: Generation,
  { registry, log, sessionCountMax }: WorldParts,
): Promise<World> {
  const rows = new Layers(generation);
  const indexes = await IndexSet.rebuild(registry, rows);
  const sessions = await Sessions.load(rows, sessionCountMax);
  const executor = new Executor({ registry, rows, indexes, sessions, log });
  return { generation, rows, indexes, sessions, executor, position: readPosition(rows) };
}

/** Puts the position among the rows, to be written with them. */
export function writePosition({ position, rows }: World): void {
  const { index, term, timeMs } = position;
  rows.set(POSITION_KEY, encode([index, term, timeMs]));
}

function readPosition(rows: Layers): AppliedPosition {
  const bytes = rows.get(POSITION_KEY);
  if (bytes === undefined) return { index: 0, term: 0, timeMs: 0 };
  const [index, term, timeMs] = decode(bytes) as [LogIndex, Term, Ms];
  return { index, term, timeMs };
}
