/**
 * At boot the log and the state machine come from two databases, and either may have been damaged.
 * They must meet: the machine has applied nothing that the log does not have, and the log starts no
 * later than where the machine ends. One crash between the two steps of a snapshot's install may
 * leave the machine ahead; the machine then knows which snapshot it was, and the log is moved there.
 *
 * Where they cannot be brought together by themselves nothing of either is used: this node keeps
 * its promises (term, vote), is suspect, and is sent everything by the leader.
 */
import type { LogIndex, Term } from '../base/index.js';
import type { LoadedLog, LogStore, ReplicatedMachine, SnapshotMeta, StoredState } from './types.js';

export interface Reconciled {
  /** What the core starts from; undefined: this node has no log and is part of no cluster. */
  readonly stored: StoredState | undefined;
  readonly doubt: string | undefined;
  /** It once was part of one, and cannot know what it promised then. */
  readonly wiped: string | undefined;
}

/** `origin`: where the log of this cluster begins, for a log that has to begin there again. */
export async function reconcile(
  loaded: LoadedLog,
  logStore: LogStore,
  machine: ReplicatedMachine,
  origin: SnapshotMeta,
): Promise<Reconciled> {
  if (isEmpty(loaded)) return withoutLog(loaded, machine);
  const { snapshot, entries, hardState, doubt } = loaded;
  const installed = machine.installedSnapshot;
  // Nothing has been applied since: the crash came before the log could follow.
  if (installed !== undefined && installed.index === machine.appliedIndex) {
    const isBeyond = installed.index > snapshot.index;
    if (isBeyond && termAt(loaded, installed.index) !== installed.term) {
      await logStore.reset(installed, hardState);
      const stored = { hardState, snapshot: installed, entries: [], applied: installed.index };
      return { stored, doubt, wiped: undefined };
    }
  }
  const problem = whyApart(loaded, machine);
  if (problem === undefined) {
    const stored = { hardState, snapshot, entries, applied: machine.appliedIndex };
    return { stored, doubt, wiped: undefined };
  }
  return startAgain(loaded, problem, logStore, machine, origin);
}

/** In this order a crash at any point leads here again. */
async function startAgain(
  { hardState, doubt }: LoadedLog,
  problem: string,
  logStore: LogStore,
  machine: ReplicatedMachine,
  origin: SnapshotMeta,
): Promise<Reconciled> {
  const reason = doubt ?? problem;
  if (doubt === undefined) await logStore.doubt(reason);
  if (machine.appliedIndex > 0) await machine.startOver();
  await logStore.startOver(origin, hardState);
  const stored = { hardState, snapshot: origin, entries: [], applied: 0 };
  return { stored, doubt: reason, wiped: undefined };
}

/** Beside an empty log there can only be an empty state. */
async function withoutLog(loaded: LoadedLog, machine: ReplicatedMachine): Promise<Reconciled> {
  const { appliedIndex } = machine;
  if (appliedIndex === 0) return { stored: undefined, doubt: undefined, wiped: loaded.wiped };
  await machine.startOver();
  const wiped =
    loaded.wiped ?? `the state has applied ${appliedIndex} entries, and the log is gone`;
  return { stored: undefined, doubt: undefined, wiped };
}

function whyApart(loaded: LoadedLog, machine: ReplicatedMachine): string | undefined {
  const { snapshot, entries } = loaded;
  const applied = machine.appliedIndex;
  const lastIndex: LogIndex = snapshot.index + entries.length;
  if (snapshot.conf.voters.length === 0) return 'the whole log is lost';
  if (applied < snapshot.index) {
    return `the state has applied ${applied}, but the log begins after ${snapshot.index}`;
  }
  if (applied > lastIndex) {
    return `the state has applied ${applied}, but the log ends at ${lastIndex}`;
  }
  return undefined;
}

function isEmpty({ hardState, entries }: LoadedLog): boolean {
  return hardState.term === 0 && entries.length === 0;
}

function termAt({ snapshot, entries }: LoadedLog, index: LogIndex): Term | undefined {
  return index === snapshot.index ? snapshot.term : entries[index - snapshot.index - 1]?.term;
}
