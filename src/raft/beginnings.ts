/**
 * The three ways in which a coordinator comes to an empty or new log: it founds the cluster, it is
 * taken into one, or it starts over because what it had is damaged. Each writes in an order that
 * leaves, after a crash at any point, a node that promises no more than it knows: one that may have
 * been somebody before is noted as suspect (suspect-note.ts) first of all.
 *
 * It neither waits for others (first-boot.ts) nor runs anything (driver.ts).
 */
import { assert, type NodeId, type Term } from '../base/index.js';
import { type FirstBoot, foundingOf } from './first-boot.js';
import type { HardState, LogStore, ReplicatedMachine, SnapshotMeta, StoredState } from './types.js';

export interface BeginningsParts {
  readonly logStore: LogStore;
  readonly machine: ReplicatedMachine;
  readonly firstBoot: FirstBoot;
}

/** Why a new member is suspect: whoever had its name before may have promised anything. */
export const STRANGER = 'it has just become a member, and has not caught up yet';

export class Beginnings {
  readonly #coordinators: readonly NodeId[];
  readonly #parts: BeginningsParts;

  constructor(coordinators: readonly NodeId[], parts: BeginningsParts) {
    this.#coordinators = coordinators;
    this.#parts = parts;
  }

  /** Where the log of this cluster begins. */
  get origin(): SnapshotMeta {
    return foundingOf(this.#coordinators).snapshot;
  }

  /** The log that every founder writes. The caller has made sure that it may (first-boot.ts). */
  async found(): Promise<StoredState> {
    const { logStore, machine, firstBoot } = this.#parts;
    const { snapshot, hardState, entry } = foundingOf(this.#coordinators);
    await Promise.all([logStore.reset(snapshot, hardState), logStore.write({ append: [entry] })]);
    await firstBoot.markMember();
    const stored = { hardState, snapshot, entries: [entry], applied: machine.appliedIndex };
    assert(stored.applied === 0, 'a state machine without a log');
    return stored;
  }

  /** In the term of the leader that invites: older ones must not be listened to. */
  async join(term: Term): Promise<StoredState> {
    const { logStore, machine, firstBoot } = this.#parts;
    const { origin: snapshot } = this;
    const hardState = { term, vote: undefined };
    // First of all, or a crash could leave a log that looks like a founder's.
    await logStore.doubt(STRANGER);
    await logStore.reset(snapshot, hardState);
    await firstBoot.markMember();
    assert(machine.appliedIndex === 0, 'a state machine without a log');
    return { hardState, snapshot, entries: [], applied: 0 };
  }

  /** All is thrown away except the promises; the leader sends it again. */
  async startOver(reason: string, hardState: HardState): Promise<StoredState> {
    const { logStore, machine } = this.#parts;
    const { origin: snapshot } = this;
    await logStore.doubt(reason);
    await machine.startOver();
    await logStore.startOver(snapshot, hardState);
    return { hardState, snapshot, entries: [], applied: 0 };
  }
}
