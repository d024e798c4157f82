/** What a client of SDFS asks the leader: where to write, and where else. */
import type { NodeId } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { StoreClient, SubmitOptions } from '../store/index.js';
import { COPIES_MAX } from './limits.js';
import { METHODS } from './transfer.js';
import { readInt, readList, readNode, readTuple } from './wire.js';

/** An open intent and the nodes picked for it, best first. */
export interface OpenedWrite {
  readonly blob: number;
  readonly targets: readonly NodeId[];
  readonly spares: readonly NodeId[];
  /** Nodes that are up: more copies than this nobody can ask for. */
  readonly live: number;
}

export interface BeginWish {
  readonly pack: boolean;
  /** -1: not known. */
  readonly bytes: number;
  readonly wanted: number;
  readonly exclude: readonly NodeId[];
}

/** Throws NOT_ENOUGH_NODES, DISK_FULL, and what StoreClient throws. */
export async function beginWrite(
  store: StoreClient,
  wish: BeginWish,
  options: SubmitOptions,
): Promise<OpenedWrite> {
  const args: Wire[] = [wish.pack, wish.bytes, wish.wanted, [...wish.exclude]];
  const answer = readTuple(await store.callLeader(METHODS.begin, args, options), 'answer', 4);
  return {
    blob: readInt(answer[0], 'blob', 1),
    targets: readNodes(answer[1]),
    spares: readNodes(answer[2]),
    live: readInt(answer[3], 'live nodes'),
  };
}

export interface MoreTargets {
  readonly targets: readonly NodeId[];
  readonly live: number;
  /** Nodes that were passed over because their disks are full. */
  readonly full: readonly NodeId[];
}

/** Further nodes for an open write, beside those that have it and those that failed. */
export async function moreTargets(
  store: StoreClient,
  wish: { blob: number; bytes: number; have: readonly NodeId[]; failed: readonly NodeId[] },
  options: SubmitOptions,
): Promise<MoreTargets> {
  const args: Wire[] = [wish.blob, wish.bytes, [...wish.have], [...wish.failed]];
  const answer = readTuple(await store.callLeader(METHODS.targets, args, options), 'answer', 3);
  return {
    targets: readNodes(answer[0]),
    live: readInt(answer[1], 'live nodes'),
    full: readNodes(answer[2]),
  };
}

function readNodes(value: Wire | undefined): NodeId[] {
  return readList(value, 'nodes', Math.max(COPIES_MAX + 1, 1000), readNode);
}
