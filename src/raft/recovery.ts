/**
 * What a boot makes of what it read back: is the log sound, is this node suspect, or was it wiped?
 * Pure.
 *
 *     sound     all that was ever acknowledged is there: it votes
 *     suspect   something may be missing, but what it promised (term, vote) is known: it follows,
 *               keeps what is provably sound, and is caught up by the leader (suspicion.ts)
 *     wiped     what it promised is not known: it must never again act as its old self
 *
 * One fault at a time is assumed, and told from a crash: a crash leaves at most one slot of the
 * watermark torn and never the watermark ahead of the log (watermark.ts). So one unreadable slot
 * beside a sound log is repaired in passing: else a power cut could make a whole cluster suspect.
 *
 * Source: Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage" (FAST '18).
 */
import type { NodeId, Term } from '../base/index.js';
import type { ScannedLog } from './log-scan.js';
import type { Entry, HardState, SnapshotMeta } from './types.js';
import type { WatermarkReading } from './watermark.js';

/** What lies on the disk. */
export interface Findings {
  readonly scan: ScannedLog;
  /** Undefined: no such file. */
  readonly mark: WatermarkReading | undefined;
  /** Written when this node became suspect, and removed when it was trusted again. */
  readonly note: SuspectNote | undefined;
  /** The database itself could not be opened, and was replaced by an empty one. */
  readonly damage: string | undefined;
}

/** Survives a crash in the middle of a recovery. */
export interface SuspectNote {
  readonly reason: string;
  /** Undefined where the note is unreadable. */
  readonly hardState: HardState | undefined;
}

export type Verdict =
  | { readonly kind: 'empty' }
  | { readonly kind: 'sound'; readonly isMarkDamaged: boolean }
  | {
      readonly kind: 'suspect';
      readonly reason: string;
      readonly hardState: HardState;
      /** Undefined: nothing of the log can be used. */
      readonly keep: { snapshot: SnapshotMeta; entries: readonly Entry[] } | undefined;
      /** The database has to be made anew: what is damaged in it would come up again. */
      readonly isDatabaseBroken: boolean;
    }
  | { readonly kind: 'wiped'; readonly reason: string };

export function judge(findings: Findings): Verdict {
  const { scan, mark, note, damage } = findings;
  const isNew = mark === undefined || (mark.isWhole && mark.newest?.seq === 0);
  const isLogEmpty = scan.summary === undefined && scan.problem === undefined;
  if (isLogEmpty && isNew && note === undefined && damage === undefined) return { kind: 'empty' };
  const problem = problemOf(findings);
  const reason = problem ?? note?.reason;
  if (reason === undefined) {
    return { kind: 'sound', isMarkDamaged: mark === undefined || !mark.isWhole };
  }
  const hardState = promisesOf(findings, problem);
  if (hardState === undefined) {
    return { kind: 'wiped', reason: `${reason}, and neither log nor watermark say what it voted` };
  }
  const { summary, entries } = scan;
  const isDatabaseBroken = scan.problem !== undefined;
  const keep = summary && { snapshot: summary.snapshot, entries };
  return { kind: 'suspect', reason, hardState, keep, isDatabaseBroken };
}

/** A sentence about what is broken now. */
function problemOf({ scan, mark, damage }: Findings): string | undefined {
  if (damage !== undefined) return damage;
  if (scan.problem !== undefined) return scan.problem;
  if (mark === undefined) return 'its watermark file is missing';
  if (mark.newest === undefined) return 'both slots of its watermark are unreadable';
  const { term, vote, lastIndex, seq } = mark.newest;
  if (scan.summary === undefined) return `it is gone, but once ended at entry ${lastIndex}`;
  const { hardState } = scan.summary;
  const isVoteLost = hardState.term === term && vote !== undefined && hardState.vote !== vote;
  if (scan.summary.seq >= seq && hardState.term >= term && !isVoteLost) return undefined;
  return (
    `it is at batch ${scan.summary.seq} (term ${hardState.term}, entry ` +
    `${scan.summary.lastIndex}), but batch ${seq} (term ${term}, entry ${lastIndex}) was once durable`
  );
}

/**
 * The newest term and vote that may have been seen outside; undefined where nobody can say. The
 * watermark is synced before a vote or a term becomes visible, so a whole one covers every promise;
 * so does the summary of a log in which nothing is broken.
 */
function promisesOf(
  { scan, mark, note }: Findings,
  problem: string | undefined,
): HardState | undefined {
  const isMarkSure = mark?.isWhole;
  const isSummarySure = scan.summary !== undefined && scan.problem === undefined;
  if (!isMarkSure && !isSummarySure && problem !== undefined) return undefined;
  const known: HardState[] = [];
  if (scan.summary !== undefined) known.push(scan.summary.hardState);
  if (mark?.newest !== undefined) known.push({ term: mark.newest.term, vote: mark.newest.vote });
  if (note?.hardState !== undefined) known.push(note.hardState);
  const term = known.reduce<Term>((most, state) => Math.max(most, state.term), 0);
  // An empty term cannot have been a promise: every founder starts in term 1.
  if (term === 0) return undefined;
  const vote = known.reduce<NodeId | undefined>(
    (found, state) => (state.term === term ? (state.vote ?? found) : found),
    undefined,
  );
  return { term, vote };
}
