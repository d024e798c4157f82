/**
 * Every duration and bound of the membership protocol, with its reason. The five that a cluster may
 * set come from the config file; the others follow from them.
 *
 * A crash is Failed everywhere after at most: period (worst wait for the next ring probe) +
 * suspectAt + one spread of the rumour + failAfter, and off every list deleteAfter later.
 */
import type { ClusterConfig, Ms } from '../base/index.js';

export interface SwimTiming {
  /** One round of the four probe slots. Shorter finds crashes sooner and sends more packets. */
  readonly periodMs: Ms;
  /** Distance of two slots: periodMs / 4. */
  readonly slotMs: Ms;
  /** A direct ack later than this is asked for by other ways. Several round trips of a LAN. */
  readonly ackTimeoutMs: Ms;
  /** No answer by any way until here: the member is suspected. */
  readonly suspectAtMs: Ms;
  /** A helper that heard nothing for so long says so (a nack), in time for `suspectAtMs`. */
  readonly nackAfterMs: Ms;
  /** Suspicious → Failed, for a healthy accuser. */
  readonly failAfterMs: Ms;
  /** Failed → Deleted. */
  readonly deleteAfterMs: Ms;
  /** Distance of two rounds of gossip while there is news. */
  readonly gossipMs: Ms;
  /** An answer that comes later than this after its ping is no evidence any more. */
  readonly lateAnswerMs: Ms;
  /** A node that probes and hears nothing for so long is deaf: it may be the one cut off. */
  readonly deafMs: Ms;
  /** Verdicts that outlived their own timer by this much are hearsay, not news. */
  readonly hearsaySlackMs: Ms;
  /** How long a dead identity is remembered, so that an old rumour cannot revive it. */
  readonly tombstoneMs: Ms;
  /** Distance of two probes of the heal loop. */
  readonly healMs: Ms;
  /** Distance of two heal rounds while nobody has answered yet. */
  readonly aloneHealMs: Ms;
  /** Least distance of two syncs that this node starts. */
  readonly syncGapMs: Ms;
  /** A main thread that has not moved for so long is reported as stalled. */
  readonly stallMs: Ms;
  /** Ticks later than this: the node slept, so its deadlines prove nothing about the others. */
  readonly oversleepMs: Ms;
  /** Between two writes of the list of last known members. */
  readonly rememberMs: Ms;
  /** How long `leave` waits for its rumour to spread before it reports success. */
  readonly farewellMs: Ms;
}

/** SWIM §3.1 recommends few helpers: three lose a live member with probability (1-(1-p)^4)^3. */
export const INDIRECT_COUNT = 3;

/** Members that hear each round of gossip. */
export const GOSSIP_FANOUT = 3;

/** A UDP packet of membership, sealed: below the MTU of Ethernet, so it never fragments. */
export const PACKET_BYTES_MAX = 1400;

/** What authenticated encryption may add to a packet (nonce and tag). */
export const SEAL_BYTES_MAX = 32;

/** A frame between two membership threads over TCP: the records of 8,192 members and more. */
export const FRAME_BYTES_MAX = 1024 * 1024;

/** Records in one sync frame; beyond it the rest comes with the next sync. */
export const SYNC_RECORDS_MAX = 8192;

/** Buckets that a sync compares; a power of two. */
export const SYNC_BUCKETS_MAX = 256;

/** Lifeguard §IV.A: the local health score saturates. */
export const HEALTH_MAX = 7;

/** Lines of evidence kept per member. */
export const EVIDENCE_MAX = 32;

/** Members that this node may know, dead ones included: what a stranger's packet can cost. */
export const MEMBERS_MAX = 16_384;

/** Introducers kept on disk. */
export const REMEMBERED_MAX = 64;

/** Addresses that the heal loop goes through. */
export const HEAL_TARGETS_MAX = 1024;

/** Introducers greeted in one round of the heal loop. */
export const HEAL_BATCH = 16;

/** Members told directly of this node's leave; the rest hears it as gossip. */
export const FAREWELL_DIRECT_MAX = 64;

/** Probes and relayed probes that may be open at once; more are not begun. */
export const OPEN_PROBES_MAX = 4096;

/** Completes the five durations of the config file. */
export function createTiming(swim: ClusterConfig['swim']): SwimTiming {
  return {
    periodMs: swim.periodMs,
    slotMs: swim.periodMs / 4,
    ackTimeoutMs: swim.ackTimeoutMs,
    suspectAtMs: swim.suspectAtMs,
    nackAfterMs: 0.6 * Math.max(1, swim.suspectAtMs - swim.ackTimeoutMs),
    failAfterMs: swim.failAfterMs,
    deleteAfterMs: swim.deleteAfterMs,
    gossipMs: swim.periodMs / 5,
    lateAnswerMs: swim.suspectAtMs + 2 * swim.failAfterMs,
    deafMs: swim.failAfterMs / 2,
    hearsaySlackMs: swim.suspectAtMs,
    tombstoneMs: 60_000,
    healMs: 5_000,
    aloneHealMs: 1_000,
    syncGapMs: 1_000,
    stallMs: 1_000,
    oversleepMs: swim.ackTimeoutMs,
    rememberMs: 2_000,
    farewellMs: swim.periodMs,
  };
}
