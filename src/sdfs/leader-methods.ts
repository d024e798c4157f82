/**
 * What the leader answers to clients of SDFS: where to write (and logs the intent), where else to
 * write, what to do about a bad copy, and what stands in repair's way.
 */
import { IdunnoError, type Rng } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { LeaderMethod, LocalStore } from '../store/index.js';
import { COPIES_MAX, UNKNOWN_BYTES_GUESS } from './limits.js';
import { type Candidate, pickTargets, type Placement } from './placement.js';
import type { Repair } from './repair.js';
import type { SpaceWatch } from './space-watch.js';
import { INTENTS } from './tables.js';
import { METHODS } from './transfer.js';
import { readFlag, readInt, readList, readNode, refuse } from './wire.js';

export interface LeaderMethodsParts {
  readonly store: LocalStore;
  readonly spaces: SpaceWatch;
  readonly repair: Repair;
  readonly rng: Rng;
}

const SPARES = 1;
const PROPOSE_MS = 5_000;
const NODES_MAX = 1_000;

/** By method name; to be registered with the store's service on every coordinator. */
export function createLeaderMethods(
  parts: LeaderMethodsParts,
): Readonly<Record<string, LeaderMethod>> {
  return {
    [METHODS.begin]: (args, { signal }) => begin(parts, args, signal),
    [METHODS.targets]: (args) => targets(parts, args),
    [METHODS.badCopy]: (args) => badCopy(parts, args),
    [METHODS.repairStatus]: () => parts.repair.status(),
  };
}

/** [pack, bytes or -1, wanted, exclude] → [blob, targets, spares, live nodes]. */
async function begin(
  { store, spaces, rng }: LeaderMethodsParts,
  args: readonly Wire[],
  signal: AbortSignal,
): Promise<Wire> {
  const pack = readFlag(args[0], 'pack');
  const bytes = readInt(args[1], 'bytes', -1);
  const wanted = readInt(args[2], 'wanted copies', 1, COPIES_MAX);
  const exclude = new Set<string>(readList(args[3], 'excluded nodes', NODES_MAX, readNode));
  const candidates = spaces.candidates();
  const placement = pickTargets(candidates, {
    count: wanted + SPARES,
    bytes: bytes < 0 ? UNKNOWN_BYTES_GUESS : bytes,
    exclude,
    seed: rng.nextU32(),
  });
  checkPlacement(placement, candidates, wanted);
  const chosen = placement.chosen.map((one) => one.node);
  const options = { timeoutMs: PROPOSE_MS, signal };
  const blob = await store.propose('sdfs.begin', [pack, wanted, chosen], options);
  return [blob, chosen.slice(0, wanted), chosen.slice(wanted), candidates.length];
}

/** Full disks are no reason to promise less; too few nodes are. */
function checkPlacement(
  { chosen, full }: Placement,
  candidates: readonly Candidate[],
  wanted: number,
): void {
  if (candidates.length === 0) {
    throw new IdunnoError('NOT_ENOUGH_NODES', 'no data node is up; start nodes and try again');
  }
  if (full.length === 0) {
    if (chosen.length > 0) return;
    throw new IdunnoError('NOT_ENOUGH_NODES', 'every node that is up has just failed this write');
  }
  if (chosen.length >= Math.min(wanted, candidates.length)) return;
  const nodes = full.slice(0, 5).map((one) => `${one.node} is ${one.bytesShort} bytes short`);
  throw new IdunnoError(
    'DISK_FULL',
    `there is room for ${chosen.length} of ${wanted} copies: ${nodes.join(', ')}; ` +
      'delete files, prune versions or add nodes',
    { copies: chosen.length, wanted, bytesShort: full[0]?.bytesShort ?? 0 },
  );
}

/** [blob, bytes, have, failed] → [further nodes, live nodes, nodes passed over as full]. */
function targets({ store, spaces, rng }: LeaderMethodsParts, args: readonly Wire[]): Wire {
  const blob = readInt(args[0], 'blob', 1);
  const bytes = readInt(args[1], 'bytes');
  const have = readList(args[2], 'holders', NODES_MAX, readNode);
  const failed = readList(args[3], 'failed nodes', NODES_MAX, readNode);
  if (store.view().get(INTENTS, [blob]) === undefined) {
    throw new IdunnoError('INTENT_CLOSED', `the write under intent ${blob} is closed`, { blob });
  }
  const candidates = spaces.candidates();
  const { chosen, full } = pickTargets(candidates, {
    count: COPIES_MAX,
    bytes,
    exclude: new Set<string>([...have, ...failed]),
    usedDomains: have.map((node) => spaces.domainOf(node)),
    seed: rng.nextU32(),
  });
  return [chosen.map((one) => one.node), candidates.length, full.map((one) => one.node)];
}

/** [blob, node, why] → null. The copy is made anew from a good one. */
function badCopy({ repair }: LeaderMethodsParts, args: readonly Wire[]): Wire {
  const blob = readInt(args[0], 'blob', 1);
  const node = readNode(args[1], 'node');
  if (typeof args[2] !== 'string') throw refuse('why must be text');
  repair.reportBad(blob, node, args[2]);
  return null;
}
