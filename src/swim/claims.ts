/**
 * What this node makes of the rumours it hears. Claims about an identity are ordered (compareClaims
 * in members.ts), so it does not matter in which order they come, how often, or by whom.
 *
 * Three rules go beyond SWIM §4.2, each against a known misfortune:
 * - Hearsay. A verdict that this node's own evidence contradicts, or that outlived its own timer
 *   (a frozen or cut-off node repeats what the others settled long ago), changes nothing here;
 *   the member is told instead and refutes it if it lives.
 * - Only the member itself may come back: a list that calls a buried identity alive does not revive
 *   it (memberlist #312), but makes this node greet it.
 * - A newer boot epoch replaces the older identity at once, above all incarnations
 *   (memberlist #311).
 */
import { assertNever } from '../base/index.js';
import { MEMBERS_MAX } from './config.js';
import type { SwimContext } from './context.js';
import { compareClaims, createEntry, isLive, type MemberEntry } from './members.js';
import type { MemberRecord } from './messages.js';
import type { Accusation, Ladder } from './suspicion.js';

export interface ClaimActions {
  /** The member should hear what is said about it, so that it can refute it. */
  tell(entry: MemberEntry, claim: MemberRecord): void;
  /** A whole list calls a member alive that is buried here. */
  onClaimedAlive(entry: MemberEntry): void;
  /** A member that was not on the list before. */
  onMet(entry: MemberEntry): void;
}

/** `sync`: from a list that a peer keeps. `first-sync`: the same, and all of it is old news. */
export type ClaimSource = 'gossip' | 'sync' | 'first-sync';

export class Claims {
  readonly #context: SwimContext;
  readonly #ladder: Ladder;
  readonly #actions: ClaimActions;
  #isFullLogged = false;

  constructor(context: SwimContext, ladder: Ladder, actions: ClaimActions) {
    this.#context = context;
    this.#ladder = ladder;
    this.#actions = actions;
  }

  hear(record: MemberRecord, source: ClaimSource): void {
    if (record.name === this.#context.self.name) {
      this.#hearOfSelf(record);
      return;
    }
    const entry = this.#context.table.get(record.name);
    if (entry === undefined) {
      this.#meet(record, source);
      return;
    }
    if (record.epoch < entry.epoch) return;
    if (record.epoch > entry.epoch) {
      this.#replace(entry, record, source);
      return;
    }
    const order = compareClaims(record, entry);
    if (order > 0) {
      this.#accept(entry, record);
      return;
    }
    if (order === 0) {
      this.#merge(entry, record);
      return;
    }
    const isListed = record.state === 'active' || record.state === 'suspicious';
    if (isListed && entry.state === 'deleted' && source !== 'gossip') {
      this.#actions.onClaimedAlive(entry);
    }
  }

  /** A newer claim about a known identity. */
  #accept(entry: MemberEntry, record: MemberRecord): void {
    switch (record.state) {
      case 'active': {
        const text = `Active: it answers for itself at incarnation ${record.incarnation}`;
        this.#ladder.becomeActive(entry, record, text + stallText(record));
        break;
      }
      case 'left':
        this.#ladder.becomeLeft(entry, record);
        break;
      case 'suspicious':
      case 'failed':
        if (!isLive(entry)) this.#hearOfBuried(entry, record);
        else if (this.#isHearsay(entry, record)) this.#actions.tell(entry, record);
        else this.#condemn(entry, record);
        break;
      default:
        assertNever(record.state, 'claim');
    }
  }

  #condemn(entry: MemberEntry, record: MemberRecord): void {
    if (record.state === 'suspicious') {
      this.#ladder.becomeSuspicious(entry, this.#accusation(record));
      return;
    }
    const sinceMs = this.#context.now - record.ageMs;
    const text = `Failed: so others found ${Math.round(record.ageMs)} ms ago`;
    this.#ladder.becomeFailed(entry, record.incarnation, sinceMs, text);
  }

  /** The same claim again: only its timer may differ. */
  #merge(entry: MemberEntry, record: MemberRecord): void {
    if (record.state !== 'suspicious' || entry.state !== 'suspicious') return;
    if (!this.#isHearsay(entry, record)) {
      this.#ladder.mergeSuspicion(entry, this.#accusation(record));
    }
  }

  /** Somebody who is dead or gone here lived on under a higher incarnation, until now. */
  #hearOfBuried(entry: MemberEntry, record: MemberRecord): void {
    if (record.state === 'suspicious') {
      const text = `Active: it answered for itself at incarnation ${record.incarnation}`;
      this.#ladder.becomeActive(entry, record, text);
      this.#accept(entry, record);
      return;
    }
    this.#context.table.change(entry, (it) => {
      it.incarnation = record.incarnation;
      it.verdict = 'failed';
    });
    if (entry.state === 'left') this.#ladder.becomeDeleted(entry, 'Deleted: found dead by others');
  }

  #isHearsay(entry: MemberEntry, record: MemberRecord): boolean {
    const { now, timing } = this.#context;
    if (entry.evidenceMs > now - record.ageMs) return true;
    const lastsMs = record.state === 'suspicious' ? (record.holdMs ?? 0) : timing.deleteAfterMs;
    return record.ageMs > lastsMs + timing.hearsaySlackMs;
  }

  #accusation(record: MemberRecord): Accusation {
    return {
      incarnation: record.incarnation,
      startedMs: this.#context.now - record.ageMs,
      holdMs: record.holdMs ?? this.#context.timing.failAfterMs,
      accuser: record.accuser ?? record.name,
    };
  }

  /** The first that is heard of an identity. */
  #meet(record: MemberRecord, source: ClaimSource): void {
    const { table, now } = this.#context;
    if (table.size >= MEMBERS_MAX) {
      this.#logFull(record);
      return;
    }
    if (record.state === 'failed' || record.state === 'left') {
      this.#bury(record);
      return;
    }
    const entry = createEntry(record, 'active', now - record.ageMs);
    if (record.stalledMs > 0) entry.stalledSinceMs = now - record.stalledMs;
    table.add(entry);
    const { name, epoch, host, port } = record;
    this.#context.note(name, `Active: boot ${epoch} at ${host}:${port}${stallText(record)}`);
    if (source !== 'first-sync') this.#context.spread(name);
    this.#context.announce(entry, undefined, true);
    this.#actions.onMet(entry);
    if (record.state === 'suspicious') this.#accept(entry, record);
  }

  /**
   * A stranger that is dead already: kept as a tombstone, shown to nobody, and only for what is left
   * of its time, or lists that are compared would hand one tombstone to each other for ever.
   */
  #bury(record: MemberRecord): void {
    const { table, agenda, now, timing } = this.#context;
    if (record.ageMs >= timing.tombstoneMs) return;
    const entry = createEntry(record, 'deleted', now - record.ageMs);
    table.add(entry);
    agenda.push(entry.sinceMs + timing.tombstoneMs, {
      kind: 'forget',
      name: entry.name,
      epoch: entry.epoch,
    });
  }

  /** The name has booted again: whatever ran before is gone. */
  #replace(entry: MemberEntry, record: MemberRecord, source: ClaimSource): void {
    if (entry.state !== 'deleted') {
      const text = `Deleted: boot ${entry.epoch} was replaced by boot ${record.epoch}`;
      this.#ladder.becomeDeleted(entry, text);
    }
    this.#context.table.remove(entry);
    this.#meet(record, source);
  }

  /** Others speak about this node. It alone may raise its incarnation (SWIM §4.2). */
  #hearOfSelf(record: MemberRecord): void {
    const { self, health } = this.#context;
    if (record.epoch !== self.epoch) {
      this.#hearOfNamesake(record);
      return;
    }
    if (record.incarnation < self.incarnation) return;
    if (record.incarnation === self.incarnation && record.state === self.state) return;
    self.incarnation = record.incarnation + 1;
    if (record.state === 'suspicious' || record.state === 'failed') {
      // Lifeguard §IV.A: whoever has to defend itself may well be the slow one.
      if (self.state === 'active') health.worsen();
      const by = record.accuser === undefined ? '' : ` by ${record.accuser}`;
      const text = `called ${record.state}${by}: refuted with incarnation ${self.incarnation}`;
      this.#context.note(self.name, text);
    }
    this.#context.spread(self.name);
    this.#context.announceSelf(self.state, false);
  }

  #hearOfNamesake(record: MemberRecord): void {
    const { self } = this.#context;
    if (record.epoch < self.epoch) return;
    this.#context.log('error', 'swim.stale-epoch', {
      name: self.name,
      ownEpoch: self.epoch,
      seenEpoch: record.epoch,
      next: 'another process bears this name, or this data folder is older than the cluster knows',
    });
  }

  #logFull(record: MemberRecord): void {
    if (this.#isFullLogged) return;
    this.#isFullLogged = true;
    this.#context.log('error', 'swim.full', { refused: record.name, members: MEMBERS_MAX });
  }
}

function stallText(record: MemberRecord): string {
  if (record.stalledMs === 0) return '';
  return `, its main thread has stood still for ${Math.round(record.stalledMs)} ms`;
}
