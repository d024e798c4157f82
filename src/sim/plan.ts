/**
 * What one seed does to its cluster. Swarm testing: each seed draws which kinds of fault exist at
 * all, not only how often they strike, because a fault that is always on hides what happens
 * without it (a run with heavy loss never has two entries in flight).
 */
import type { Ms, Rng } from '../base/index.js';
import type { RaftLimits, RaftTiming } from '../raft/index.js';

/** Every kind that a run may contain; reports count how often each one struck. */
export const FAULT_KINDS = [
  'loss',
  'delay',
  'duplicate',
  'reorder',
  'partition',
  'one-way-partition',
  'clog',
  'reset',
  'crash',
  'lost-writes',
  'torn-writes',
  'restart',
  'slow-disk',
  'disk-hang',
  'disk-error',
  'disk-full',
  'bit-rot',
  'pause',
  'clock-jump',
  'transfer',
  'snapshot',
  'members',
  'wipe',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];
export type FaultCounts = Record<FaultKind, number>;

export function noFaults(): FaultCounts {
  return Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as FaultCounts;
}

/** Faults that the nemesis schedules; the others are rates or consequences. */
export const STRIKES = [
  'partition',
  'one-way-partition',
  'clog',
  'reset',
  'crash',
  'restart',
  'slow-disk',
  'disk-hang',
  'disk-error',
  'disk-full',
  'bit-rot',
  'pause',
  'clock-jump',
  'transfer',
  'members',
  'wipe',
] as const;

/** These come with membership churn, which is drawn apart. */
const MEMBER_STRIKES: readonly string[] = ['members', 'wipe'];

export type Strike = (typeof STRIKES)[number];

export interface Plan {
  /** Founders: the voters to begin with. */
  readonly nodeCount: number;
  /** Further nodes, which are no members to begin with. */
  readonly spareCount: number;
  readonly clientCount: number;
  readonly timing: RaftTiming;
  readonly limits: Partial<RaftLimits>;
  /** Length of the phase with faults, virtual. */
  readonly safetyMs: Ms;
  /** After all is healed: how long until a write must have been acknowledged everywhere. */
  readonly livenessMs: Ms;
  readonly network: {
    readonly delayMs: Ms;
    readonly lossRate: number;
    readonly duplicateRate: number;
    /** Chance of a message to be held up for tens to hundreds of ms. */
    readonly spikeRate: number;
    /** Connections keep order; without it each message takes its own time. */
    readonly isFifo: boolean;
  };
  readonly disk: {
    readonly syncMs: Ms;
    /** Chance of one sync to take tens to hundreds of ms. */
    readonly spikeRate: number;
    /** A crash may lose what was not synced; else all of it was just in time. */
    readonly losesWrites: boolean;
    /** Chance of a crash to leave a hole in what was not synced, which the next boot finds. */
    readonly tearRate: number;
    /** One completion for everything that a sync covered, or one for each write. */
    readonly isCoalescing: boolean;
  };
  /** Closed connections are seen as such by the others: fast failover. */
  readonly hasEvidence: boolean;
  readonly strikes: readonly Strike[];
  readonly strikeEveryMs: Ms;
  /** How long strikes last, as a factor: where they come thick they end soon. */
  readonly strikeScale: number;
  /** Mean pause of a client between two operations. */
  readonly thinkMs: Ms;
  /** Nodes that stay dead in the liveness phase: fewer than half. */
  readonly deadAtEnd: number;
}

export function createPlan(rng: Rng): Plan {
  const nodeCount = pick(rng, [3, 3, 3, 5, 5, 7]);
  // Some runs never come to rest: leaders fall one after another, with entries half replicated
  // that travel one by one (Raft figure 8).
  const isChurn = rng.float() < 0.25;
  const churns: readonly Strike[] = isChurn ? ['crash', 'partition'] : [];
  // Drawn from a stream of their own: runs without them stay what they were.
  const members = rng.fork('members');
  const isMemberChurn = members.float() < 0.4;
  const plain = STRIKES.filter((strike) => !MEMBER_STRIKES.includes(strike));
  // Few kinds that come thick find what many thin ones do not, and the other way round.
  const share = pick(rng, [0.15, 0.35, 0.6]);
  const strikes = plain.filter((strike) => churns.includes(strike) || rng.float() < share);
  const limits = pick<Partial<RaftLimits>>(rng, [
    {},
    { trailingEntries: 8, compactStep: 4 },
    { trailingEntries: 30, compactStep: 10, messageEntriesMax: 3 },
    { uncommittedEntriesMax: 6, inflightMax: 1 },
  ]);
  const memberStrikes = isMemberChurn ? drawMemberStrikes(members) : [];
  return {
    nodeCount,
    spareCount: isMemberChurn ? pick(members, [0, 1, 2]) : 0,
    clientCount: 4,
    timing: pick(rng, [
      { heartbeatMs: 50, electionMinMs: 150, electionMaxMs: 300 },
      { heartbeatMs: 50, electionMinMs: 250, electionMaxMs: 500 },
    ]),
    limits: isChurn ? { messageEntriesMax: 1, inflightMax: 1 } : limits,
    safetyMs: 60_000,
    livenessMs: 10_000,
    network: {
      delayMs: isChurn ? 5 : pick(rng, [0.2, 1, 5]),
      lossRate: maybe(rng, 0.6) * rng.float() * 0.15,
      duplicateRate: maybe(rng, 0.6) * rng.float() * 0.1,
      spikeRate: maybe(rng, 0.6) * rng.float() * 0.1,
      isFifo: rng.float() < 0.4,
    },
    disk: {
      syncMs: pick(rng, [0.2, 1, 5]),
      spikeRate: maybe(rng, 0.5) * rng.float() * 0.05,
      losesWrites: true,
      tearRate: maybe(rng, 0.5) * rng.float() * 0.5,
      isCoalescing: rng.float() < 0.5,
    },
    hasEvidence: rng.float() < 0.7,
    // Every run has something that costs a leader its place.
    strikes: [...(strikes.length === 0 ? (['crash'] as const) : strikes), ...memberStrikes],
    strikeEveryMs: isChurn ? 150 + rng.float() * 250 : 500 + rng.float() * 2_500,
    strikeScale: isChurn ? 0.25 : 1,
    thinkMs: isChurn ? 40 : 80,
    deadAtEnd: rng.int(Math.ceil(nodeCount / 2)),
  };
}

/** Changes of the members come thick where they come at all; some runs lose whole disks, too. */
function drawMemberStrikes(rng: Rng): readonly Strike[] {
  const changes: readonly Strike[] = ['members', 'members', 'members'];
  return rng.float() < 0.5 ? changes : [...changes, 'wipe'];
}

/** The same plan without some kinds of fault, for shrinking. */
export function withoutFaults(plan: Plan, without: ReadonlySet<FaultKind>): Plan {
  const { network, disk } = plan;
  const rate = (kind: FaultKind, value: number): number => (without.has(kind) ? 0 : value);
  return {
    ...plan,
    strikes: plan.strikes.filter((strike) => !without.has(strike)),
    network: {
      ...network,
      lossRate: rate('loss', network.lossRate),
      duplicateRate: rate('duplicate', network.duplicateRate),
      spikeRate: rate('delay', network.spikeRate),
      isFifo: network.isFifo || without.has('reorder'),
    },
    disk: {
      ...disk,
      spikeRate: rate('slow-disk', disk.spikeRate),
      losesWrites: disk.losesWrites && !without.has('lost-writes'),
      tearRate: rate('torn-writes', disk.tearRate),
    },
  };
}

export function pick<T>(rng: Rng, choices: readonly T[]): T {
  const choice = choices[rng.int(choices.length)];
  if (choice === undefined) throw new RangeError('nothing to choose from');
  return choice;
}

/** Exponentially distributed, so that events may come close together. */
export function exponential(rng: Rng, mean: number): number {
  return -mean * Math.log(1 - rng.float());
}

function maybe(rng: Rng, probability: number): 0 | 1 {
  return rng.float() < probability ? 1 : 0;
}
