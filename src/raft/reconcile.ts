/**
 * At boot the log and the state machine come from two databases. They must meet: the machine has
 * applied nothing that the log does not have, and the log starts no later than where the machine
 * ends. One crash between the two steps of a snapshot's install may leave the machine ahead; the
 * machine then knows which snapshot it was, and the log is moved there.
 */
import { IdunnoError, type LogIndex, type Term } from '../base/index.js';
import type { LogStore, ReplicatedMachine, StoredState } from './types.js';

type Loaded = Omit<StoredState, 'applied'>;

/** What the core starts from. Throws CORRUPT where the two cannot belong together. */
export async function reconcile(
  loaded: Loaded,
  logStore: LogStore,
  machine: ReplicatedMachine,
): Promise<StoredState> {
  const applied = machine.appliedIndex;
  const { snapshot, entries, hardState } = loaded;
  const installed = machine.installedSnapshot;
  const lastIndex = snapshot.index + entries.length;
  if (installed !== undefined && installed.index > snapshot.index) {
    if (termAt(loaded, installed.index) !== installed.term) {
      await logStore.reset(installed, hardState);
      return { hardState, snapshot: installed, entries: [], applied };
    }
  }
  if (applied < snapshot.index || applied > lastIndex) {
    throw apart(applied, `has ${snapshot.index + 1} to ${lastIndex}`);
  }
  return { ...loaded, applied };
}

/** Beside an empty log there can only be an empty state. Throws CORRUPT. */
export function assertNoState(machine: ReplicatedMachine): void {
  if (machine.appliedIndex > 0) throw apart(machine.appliedIndex, 'is empty');
}

function apart(applied: LogIndex, log: string): IdunnoError {
  return new IdunnoError(
    'CORRUPT',
    `the state machine has applied ${applied}, but the log ${log}: one of the two folders was ` +
      'lost or replaced. Move both away, so that the node starts empty and is sent the state by ' +
      'the others',
    { applied },
  );
}

function termAt({ snapshot, entries }: Loaded, index: LogIndex): Term | undefined {
  return index === snapshot.index ? snapshot.term : entries[index - snapshot.index - 1]?.term;
}
