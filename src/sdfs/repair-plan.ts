/**
 * What to copy next, from where to where: pure. The driver (repair.ts) feeds it the state of the
 * moment and carries out what it says; it is asked again whenever something changes.
 *
 * Order: fewest good copies first (1, then 2, then 3), then oldest blob. When:
 *   - at once with 2 copies or fewer, and whenever waiting could not bring enough copies back
 *     (a holder *left*, or the file was written while too few nodes were there);
 *   - after `delayMs` with 3, since a restarting node brings its copies with it;
 *   - later by 30 s with 2 or more when over 3 nodes went down within 10 s: that is rather a
 *     network's or a rack's trouble than that many dead disks, and copying makes it worse.
 *
 * A copy counts as good when its node is up and nobody reported it bad. Copies on draining nodes
 * can be read, and count as gone. A bad copy is first replaced in place, by renaming a good one
 * over it: it stays until a good one is there.
 *
 * Invariants: streams per node are bounded; a blob never gets two copies to one node, and never
 * more copies than are missing; every blob that misses a copy is in an order, in flight, or counted
 * under a reason.
 */
import type { CopySet } from './holder-index.js';
import { bytesShort, type Candidate, mixHash, pickTargets } from './placement.js';
import type {
  CopyInFlight,
  ExcessCopy,
  RepairNode,
  RepairOrder,
  RepairPlan,
  RepairState,
} from './repair-state.js';

export * from './repair-state.js';

/** Orders that a node serves at a time in each direction. */
export const STREAMS_PER_NODE = 4;
/** Small blobs share an order: one call, one command, many copies. */
export const ORDER_BLOBS_MAX = 16;
export const ORDER_BYTES_MAX = 8 * 1024 * 1024;
const DROPS_MAX = 25;
/** A node that came back keeps its extra copies so long: it may go again. */
const EXCESS_AFTER_MS = 30_000;
const STORM_NODES = 3;
const STORM_WINDOW_MS = 10_000;
const STORM_DELAY_MS = 30_000;

/** Plans until streams or work run out. O(sets + blobs ordered × nodes). */
export function planRepair(state: RepairState): RepairPlan {
  return new Planner(state).plan();
}

interface Work {
  readonly set: CopySet;
  /** Holders with a good copy on a node that is up. */
  readonly good: readonly string[];
  readonly blobs: Iterable<readonly [blob: number, bytes: number]>;
  readonly badNodes: ReadonlySet<string>;
}

const BUSY = 'all streams are busy';
const NO_NODES: ReadonlySet<string> = new Set();

class Planner {
  readonly #state: RepairState;
  readonly #streamsIn: Map<string, number>;
  readonly #streamsOut: Map<string, number>;
  readonly #orders: RepairOrder[] = [];
  readonly #excess: ExcessCopy[] = [];
  readonly #needlessBad: ExcessCopy[] = [];
  readonly #stuck = new Map<string, number>();
  readonly #stormUntilMs: number;
  #nextDueMs: number | undefined;

  constructor(state: RepairState) {
    this.#state = state;
    this.#streamsIn = new Map(state.streamsIn);
    this.#streamsOut = new Map(state.streamsOut);
    this.#stormUntilMs = stormUntil([...state.nodes.values()]);
  }

  plan(): RepairPlan {
    for (const work of this.#queue()) this.#planWork(work);
    return {
      orders: this.#orders,
      excess: this.#excess,
      needlessBad: this.#needlessBad,
      stuck: this.#stuck,
      nextDueMs: this.#nextDueMs,
    };
  }

  /** Everything that misses copies, fewest good copies first. Notes excess copies on the way. */
  #queue(): Work[] {
    const { bad, badSets } = this.#state;
    const queue: Work[] = [];
    for (const [blob, badNodes] of bad) {
      const set = badSets.get(blob);
      if (set === undefined) continue;
      const good = this.#goodOf(set, badNodes);
      if (good.length >= set.wanted) this.#noteNeedless(blob, badNodes);
      else queue.push({ set, good, blobs: [[blob, set.blobs.get(blob) ?? 0]], badNodes });
    }
    for (const set of this.#state.sets) {
      const good = this.#goodOf(set, NO_NODES);
      if (good.length < set.wanted) {
        queue.push({ set, good, blobs: set.blobs, badNodes: NO_NODES });
      } else if (good.length > set.wanted) {
        this.#noteExcess(set, good);
      }
    }
    return queue.sort((a, b) => a.good.length - b.good.length || compare(a.set.key, b.set.key));
  }

  #goodOf(set: CopySet, badNodes: ReadonlySet<string>): string[] {
    const { nodes } = this.#state;
    return set.holders.filter((node) => nodes.get(node)?.status === 'up' && !badNodes.has(node));
  }

  #noteNeedless(blob: number, badNodes: ReadonlySet<string>): void {
    for (const node of badNodes) {
      if (this.#needlessBad.length < DROPS_MAX) this.#needlessBad.push({ blob, node });
    }
  }

  #noteExcess(set: CopySet, good: readonly string[]): void {
    const { nodes, nowMs } = this.#state;
    const isSteady = good.every(
      (node) => (nodes.get(node)?.sinceMs ?? 0) <= nowMs - EXCESS_AFTER_MS,
    );
    if (!isSteady) {
      this.#wakeAt(nowMs + EXCESS_AFTER_MS);
      return;
    }
    for (const blob of set.blobs.keys()) {
      if (this.#excess.length >= DROPS_MAX) return;
      if (this.#state.bad.has(blob) || this.#state.inFlight.has(blob)) continue;
      this.#excess.push({ blob, node: this.#fullestOf(good, blob) });
    }
  }

  /** Which of its holders a blob leaves first. */
  #fullestOf(holders: readonly string[], blob: number): string {
    const order = [...holders].sort(
      (a, b) => this.#fullness(b) - this.#fullness(a) || mixHash(blob, a) - mixHash(blob, b),
    );
    return order[0] as string;
  }

  /** In steps of 5 %, so that nearly equal disks share. */
  #fullness(node: string): number {
    const facts = this.#state.nodes.get(node);
    if (facts === undefined || facts.totalBytes === 0) return 0;
    return Math.floor((1 - facts.freeBytes / facts.totalBytes) * 20);
  }

  #planWork(work: Work): void {
    const isClass = work.badNodes.size === 0;
    const size = isClass ? work.set.blobs.size : 1;
    const sources = this.#sourcesOf(work);
    if (sources.length === 0) {
      this.#note(`no copy can be reached: ${this.#describeHolders(work.set)}`, size);
      return;
    }
    const due = this.#dueMs(work);
    if (due > this.#state.nowMs) {
      this.#wakeAt(due);
      this.#note(`waits for ${this.#describeAway(work.set)} to return`, size);
      return;
    }
    let batch = new Batch();
    const batchMax = this.#batchMax(size);
    for (const [blob, bytes] of work.blobs) {
      if (isClass && this.#state.bad.has(blob)) continue;
      if (!this.#isReady(blob)) continue;
      if (this.#flying(blob).length > 0) {
        if (!this.#order(work, sources, new Batch([[blob, bytes]]))) return;
        continue;
      }
      if (!batch.takes(bytes, batchMax)) {
        if (!this.#order(work, sources, batch)) return;
        batch = new Batch();
      }
      batch.add(blob, bytes);
    }
    this.#order(work, sources, batch);
  }

  /** Few blobs are spread over many nodes, many blobs share orders. */
  #batchMax(blobs: number): number {
    let up = 0;
    for (const node of this.#state.nodes.values()) if (node.status === 'up') up += 1;
    const lanes = Math.max(1, up * STREAMS_PER_NODE);
    return Math.min(ORDER_BLOBS_MAX, Math.max(1, Math.ceil(blobs / lanes)));
  }

  #flying(blob: number): readonly CopyInFlight[] {
    return this.#state.inFlight.get(blob) ?? [];
  }

  #isReady(blob: number): boolean {
    const notBefore = this.#state.notBeforeMs.get(blob) ?? 0;
    if (notBefore <= this.#state.nowMs) return true;
    this.#wakeAt(notBefore);
    this.#note('the last try failed; it will be tried again', 1);
    return false;
  }

  /**
   * Orders the copies that a batch misses. False: go no further with this work, since what stopped
   * this batch (no node, no stream) would stop the next one too.
   */
  #order(work: Work, sources: readonly string[], batch: Batch): boolean {
    const first = batch.first;
    if (first === undefined) return true;
    const flying = this.#flying(first);
    const missing = work.set.wanted - work.good.length - flying.length;
    for (let copy = 0; copy < missing; copy += 1) {
      const taken = new Set([...flying.map((one) => one.to), ...batch.targets]);
      const to = this.#pickTarget(work, batch, taken);
      const from = to === undefined ? undefined : this.#pickSource(sources, to, first);
      if (to === undefined || from === undefined) {
        if (taken.size > 0) return true;
        const reason = to === undefined ? this.#whyNoTarget(work, batch) : BUSY;
        this.#note(reason, work.badNodes.size > 0 ? 1 : work.set.blobs.size);
        return false;
      }
      add(this.#streamsIn, to);
      add(this.#streamsOut, from);
      batch.targets.push(to);
      this.#orders.push({ from, to, blobs: batch.blobs, bytes: batch.bytes });
    }
    return true;
  }

  #pickTarget(work: Work, batch: Batch, taken: ReadonlySet<string>): string | undefined {
    for (const node of work.badNodes) {
      const isUp = this.#state.nodes.get(node)?.status === 'up';
      if (isUp && !taken.has(node) && this.#hasStream(this.#streamsIn, node)) return node;
    }
    const exclude = new Set([...work.set.holders, ...taken]);
    const usedDomains = [...work.good, ...taken].map((node) => this.#domainOf(node));
    const free = this.#candidates().filter((node) => this.#hasStream(this.#streamsIn, node.node));
    const seed = batch.first ?? 0;
    const { chosen } = pickTargets(free, {
      count: 1,
      bytes: batch.bytes,
      exclude,
      usedDomains,
      seed,
    });
    return chosen[0]?.node;
  }

  #candidates(): Candidate[] {
    const candidates: Candidate[] = [];
    for (const node of this.#state.nodes.values()) {
      if (node.status !== 'up') continue;
      const load = this.#streamsIn.get(node.node) ?? 0;
      candidates.push({ ...node, load });
    }
    return candidates;
  }

  #whyNoTarget(work: Work, batch: Batch): string {
    const up = this.#candidates();
    const others = up.filter((node) => !work.set.holders.includes(node.node));
    if (others.length === 0) {
      return `${up.length} nodes are up, ${work.set.wanted} copies are wanted: no further node`;
    }
    const full = others.filter((node) => bytesShort(node, batch.bytes, 'high') > 0);
    if (full.length < others.length) return BUSY;
    const names = full.map((node) => node.node).slice(0, 5);
    return `the disks of ${names.join(', ')} are too full`;
  }

  #pickSource(sources: readonly string[], to: string, blob: number): string | undefined {
    let best: string | undefined;
    for (const node of sources) {
      if (node === to || !this.#hasStream(this.#streamsOut, node)) continue;
      if (best === undefined || this.#isLighter(node, best, blob)) best = node;
    }
    return best;
  }

  #isLighter(a: string, b: string, blob: number): boolean {
    const aOut = this.#streamsOut.get(a) ?? 0;
    const bOut = this.#streamsOut.get(b) ?? 0;
    return aOut === bOut ? mixHash(blob, a) < mixHash(blob, b) : aOut < bOut;
  }

  /** Good copies first; a draining or departed node's copy is better than none. */
  #sourcesOf(work: Work): readonly string[] {
    if (work.good.length > 0) return work.good;
    const { nodes } = this.#state;
    const others = work.set.holders.filter((node) => !work.badNodes.has(node));
    const draining = others.filter((node) => nodes.get(node)?.status === 'draining');
    if (draining.length > 0) return draining;
    return others.filter((node) => nodes.get(node)?.status === 'left');
  }

  #dueMs(work: Work): number {
    const good = work.good.length;
    let due = 0;
    if (good >= 3) {
      const down = this.#downOf(work.set);
      const mayReturn = good + down.length >= work.set.wanted;
      const since = Math.max(0, ...down.map((node) => node.sinceMs));
      if (mayReturn && work.badNodes.size === 0) due = since + this.#state.delayMs;
    }
    return good >= 2 ? Math.max(due, this.#stormUntilMs) : due;
  }

  #downOf(set: CopySet): RepairNode[] {
    return set.holders.flatMap((holder) => {
      const node = this.#state.nodes.get(holder);
      return node?.status === 'down' ? [node] : [];
    });
  }

  #describeAway(set: CopySet): string {
    const down = this.#downOf(set).map((node) => node.node);
    return down.length === 0 ? 'other nodes' : down.join(', ');
  }

  #describeHolders(set: CopySet): string {
    if (set.holders.length === 0) return 'no node has one';
    const { nodes } = this.#state;
    return set.holders.map((node) => `${node} ${nodes.get(node)?.status ?? 'unknown'}`).join(', ');
  }

  #domainOf(node: string): string {
    return this.#state.nodes.get(node)?.domain ?? node;
  }

  #hasStream(streams: ReadonlyMap<string, number>, node: string): boolean {
    return (streams.get(node) ?? 0) < STREAMS_PER_NODE;
  }

  #note(reason: string, blobs: number): void {
    if (blobs > 0) this.#stuck.set(reason, (this.#stuck.get(reason) ?? 0) + blobs);
  }

  #wakeAt(ms: number): void {
    this.#nextDueMs = Math.min(this.#nextDueMs ?? ms, ms);
  }
}

/** Blobs that will travel together, and where they were already ordered to. */
class Batch {
  readonly blobs: number[] = [];
  readonly targets: string[] = [];
  bytes = 0;

  constructor(blobs: readonly (readonly [number, number])[] = []) {
    for (const [blob, bytes] of blobs) this.add(blob, bytes);
  }

  get first(): number | undefined {
    return this.blobs[0];
  }

  get size(): number {
    return this.blobs.length;
  }

  takes(bytes: number, blobsMax: number): boolean {
    if (this.blobs.length === 0) return true;
    return this.blobs.length < blobsMax && this.bytes + bytes <= ORDER_BYTES_MAX;
  }

  add(blob: number, bytes: number): void {
    this.blobs.push(blob);
    this.bytes += bytes;
  }
}

/** Until when repair holds back after a burst of failures; 0 when there was none. */
function stormUntil(nodes: readonly RepairNode[]): number {
  const downs = nodes.filter((node) => node.status === 'down').map((node) => node.sinceMs);
  downs.sort((a, b) => a - b);
  let until = 0;
  for (let at = STORM_NODES; at < downs.length; at += 1) {
    const last = downs[at] as number;
    const first = downs[at - STORM_NODES] as number;
    if (last - first <= STORM_WINDOW_MS) until = last + STORM_DELAY_MS;
  }
  return until;
}

function add(streams: Map<string, number>, node: string): void {
  streams.set(node, (streams.get(node) ?? 0) + 1);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
