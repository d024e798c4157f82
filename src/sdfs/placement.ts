/**
 * Where new copies go: pure, and the same answer for the same input.
 *
 * Order of the wishes: no two copies in one failure domain while there is another; then little
 * load and much free space (each open write on a node weighs as much as 5 % of fullness, so a burst
 * of puts spreads before the disks tell); then a hash of (seed, node), so that nodes in the same
 * situation share the work.
 *
 * Refuses: nodes that are excluded, nodes above the 90 % watermark, nodes without room.
 */

/** What is known of a node that might take a copy. */
export interface Candidate {
  readonly node: string;
  readonly epoch: number;
  /** 0 of 0: not heard of yet; taken as empty. */
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Open writes or streams to it. */
  readonly load: number;
  /** Nodes of one domain fail together: a host, a rack. */
  readonly domain: string;
}

export interface PlacementWish {
  readonly count: number;
  readonly bytes: number;
  readonly exclude: ReadonlySet<string>;
  /** Domains of the copies that exist, one per copy. */
  readonly usedDomains?: readonly string[];
  readonly seed: number;
}

export interface Placement {
  /** Best first; fewer than asked where there are no more. */
  readonly chosen: readonly Candidate[];
  /** Nodes that would have been good but for their disks. */
  readonly full: readonly { readonly node: string; readonly bytesShort: number }[];
}

/** `high`: no new placements. `full`: writes are refused. */
export type DiskLevel = 'ok' | 'high' | 'full';

const GIB = 1024 ** 3;
/** Parts of 100. On big disks the last per cents are plenty: there the bytes count instead. */
const HIGH = { freePercent: 10, freeBytesMax: 32 * GIB };
const FULL = { freePercent: 5, freeBytesMax: 16 * GIB };
/** A step of fullness weighs as much as one open write. */
const FULLNESS_STEPS = 20;

/** Bytes that must stay free at a watermark. */
function reserveBytes(totalBytes: number, mark: typeof HIGH): number {
  return Math.min(Math.floor((totalBytes * mark.freePercent) / 100), mark.freeBytesMax);
}

export function diskLevel(space: { freeBytes: number; totalBytes: number }): DiskLevel {
  if (space.totalBytes === 0) return 'ok';
  if (space.freeBytes <= reserveBytes(space.totalBytes, FULL)) return 'full';
  if (space.freeBytes <= reserveBytes(space.totalBytes, HIGH)) return 'high';
  return 'ok';
}

/** How many bytes are missing before this many more can be written; 0 if they fit. */
export function bytesShort(
  space: { freeBytes: number; totalBytes: number },
  bytes: number,
  level: 'high' | 'full',
): number {
  if (space.totalBytes === 0) return 0;
  const reserve = reserveBytes(space.totalBytes, level === 'high' ? HIGH : FULL);
  return Math.max(0, reserve + bytes - space.freeBytes);
}

/** Picks up to `count` nodes, best first. O(count × candidates). */
export function pickTargets(candidates: readonly Candidate[], wish: PlacementWish): Placement {
  const full: { node: string; bytesShort: number }[] = [];
  const open: Ranked[] = [];
  for (const candidate of candidates) {
    if (wish.exclude.has(candidate.node)) continue;
    const short = bytesShort(candidate, wish.bytes, 'high');
    if (short > 0) full.push({ node: candidate.node, bytesShort: short });
    else open.push(rank(candidate, wish.seed));
  }
  const copiesIn = new Map<string, number>();
  for (const domain of wish.usedDomains ?? []) count(copiesIn, domain);
  const chosen: Candidate[] = [];
  while (chosen.length < wish.count && open.length > 0) {
    let best = 0;
    for (let at = 1; at < open.length; at += 1) {
      if (isBetter(open[at] as Ranked, open[best] as Ranked, copiesIn)) best = at;
    }
    const [taken] = open.splice(best, 1) as [Ranked];
    count(copiesIn, taken.candidate.domain);
    chosen.push(taken.candidate);
  }
  return { chosen, full };
}

interface Ranked {
  readonly candidate: Candidate;
  readonly cost: number;
  readonly hash: number;
}

function rank(candidate: Candidate, seed: number): Ranked {
  const { freeBytes, totalBytes, load, node } = candidate;
  const used = totalBytes === 0 ? 0 : (totalBytes - freeBytes) / totalBytes;
  const cost = Math.floor(used * FULLNESS_STEPS) + load;
  return { candidate, cost, hash: mixHash(seed, node) };
}

function isBetter(a: Ranked, b: Ranked, copiesIn: ReadonlyMap<string, number>): boolean {
  const aCopies = copiesIn.get(a.candidate.domain) ?? 0;
  const bCopies = copiesIn.get(b.candidate.domain) ?? 0;
  if (aCopies !== bCopies) return aCopies < bCopies;
  if (a.cost !== b.cost) return a.cost < b.cost;
  if (a.hash !== b.hash) return a.hash < b.hash;
  return a.candidate.node < b.candidate.node;
}

function count(copiesIn: Map<string, number>, domain: string): void {
  copiesIn.set(domain, (copiesIn.get(domain) ?? 0) + 1);
}

/** FNV-1a over the text, started by the seed, then mixed once so that near seeds differ. */
export function mixHash(seed: number, text: string): number {
  let hash = (2166136261 ^ seed) >>> 0;
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 2246822507);
  return (hash ^ (hash >>> 13)) >>> 0;
}
