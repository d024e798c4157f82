/**
 * The ladder of states (diagram in members.ts): how a member comes down it, and what lifts it up.
 *
 * A suspicion lasts `failAfterMs`, counted from when it was raised, wherever it is heard: its age
 * and its length travel with it. It is lengthened only by the accuser's own ill health (Lifeguard
 * §IV.A) and never by missing confirmations: with these, repaired rings that no longer probe the
 * suspect would miss the promised deadline.
 *
 * Two things end it early. The member itself refutes it with a higher incarnation, for everybody
 * (SWIM §4.2). Or this node obtains evidence of life newer than the suspicion; that clears its own
 * list only, so it tells the member at once what is said about it.
 */
import { assert, type Ms, type NodeId } from '../base/index.js';
import type { SwimContext } from './context.js';
import { isLive, type MemberEntry, recordOf } from './members.js';
import type { MemberRecord } from './messages.js';

/** What follows from a change of state, decided by other parts. */
export interface LadderActions {
  /** The member should hear what is said about it, so that it can refute it. */
  tell(entry: MemberEntry, claim: MemberRecord): void;
  /** Somebody else suspects the member. */
  onSuspected(entry: MemberEntry): void;
  /** The member is gone from the list: the heal loop looks for it from now on. */
  onDeleted(entry: MemberEntry): void;
}

/** A suspicion as it is raised or heard. */
export interface Accusation {
  readonly incarnation: number;
  readonly startedMs: Ms;
  readonly holdMs: Ms;
  readonly accuser: NodeId;
}

export class Ladder {
  readonly #context: SwimContext;
  readonly #actions: LadderActions;

  constructor(context: SwimContext, actions: LadderActions) {
    this.#context = context;
    this.#actions = actions;
  }

  /** This node's probe of the member failed in every way. */
  accuse(entry: MemberEntry, reason: string): void {
    const context = this.#context;
    if (entry.state !== 'active' || context.self.state === 'left') return;
    const holdMs = context.timing.failAfterMs * context.health.stretch;
    const { incarnation } = entry;
    context.note(entry.name, reason);
    const accuser = context.self.name;
    this.becomeSuspicious(entry, { incarnation, startedMs: context.now, holdMs, accuser });
  }

  /** This node has proof that the member lives. `incarnation` is the one that it answered under. */
  acquit(entry: MemberEntry, incarnation: number, proof: string): void {
    const { now, table, rumours } = this.#context;
    entry.evidenceMs = now;
    if (entry.state === 'active' || entry.state === 'left') return;
    const claim = recordOf(entry, now);
    if (entry.state === 'suspicious') {
      table.change(entry, (it) => {
        it.state = 'active';
        it.sinceMs = now;
        it.accuser = undefined;
      });
      rumours.remove(entry.name);
      this.#context.note(entry.name, `${proof}: the suspicion is dropped here`);
      this.#context.announce(entry, 'suspicious', true);
    }
    // Others still hold the claim, and only a higher incarnation clears it there.
    if (incarnation <= entry.incarnation) this.#actions.tell(entry, claim);
  }

  /**
   * This node hears others again after it heard nobody: what it concluded in the silence says more
   * about itself. Its suspicions begin anew, its verdicts are not spread, and the members learn of
   * both, so that those who live refute them.
   */
  reconsider(): void {
    const { table, self, now, timing, agenda, rumours, health } = this.#context;
    const own: MemberEntry[] = [];
    for (const entry of table.all()) {
      const isVerdict = entry.state === 'suspicious' || entry.state === 'failed';
      if (!isVerdict || entry.accuser !== self.name) continue;
      own.push(entry);
      rumours.remove(entry.name);
    }
    // Only now, with none of them left among the rumours, may packets go out.
    for (const entry of own) {
      this.#context.note(entry.name, 'this node had heard nobody: it judges anew');
      if (entry.state === 'suspicious') {
        entry.sinceMs = now;
        entry.holdMs = timing.failAfterMs * health.stretch;
        entry.failAtMs = now + entry.holdMs;
        const { name, epoch } = entry;
        agenda.push(now + timing.failAfterMs, { kind: 'expire', name, epoch });
      }
      this.#actions.tell(entry, recordOf(entry, now));
    }
  }

  becomeSuspicious(entry: MemberEntry, accusation: Accusation): void {
    const { table, agenda, self, timing } = this.#context;
    const before = entry.state;
    assert(isLive(entry), `${entry.name} cannot be suspected: it is ${before}`);
    const { startedMs, holdMs, accuser } = accusation;
    table.change(entry, (it) => {
      it.state = 'suspicious';
      it.sinceMs = startedMs;
      it.incarnation = accusation.incarnation;
      it.accuser = accuser;
      it.holdMs = holdMs;
      it.failAtMs = startedMs + holdMs;
    });
    const isOwn = accuser === self.name;
    const lookMs = isOwn ? startedMs + timing.failAfterMs : entry.failAtMs;
    const { name, epoch } = entry;
    agenda.push(lookMs, { kind: 'expire', name, epoch });
    const age = Math.round(this.#context.now - startedMs);
    this.#context.note(
      entry.name,
      `Suspicious: accused by ${accuser} ${age} ms ago at incarnation ${entry.incarnation}, ` +
        `becomes Failed after ${Math.round(holdMs)} ms`,
    );
    this.#context.spread(entry.name);
    this.#context.announce(entry, before, before !== 'suspicious');
    if (!isOwn) this.#actions.onSuspected(entry);
  }

  /** Two suspicions of the same incarnation: the one that ends first counts. */
  mergeSuspicion(entry: MemberEntry, accusation: Accusation): void {
    const { table, agenda, timing } = this.#context;
    const failAtMs = accusation.startedMs + accusation.holdMs;
    // Rumours of one suspicion differ by their time of flight: that alone is no news.
    if (failAtMs >= entry.failAtMs - timing.gossipMs / 4) return;
    table.change(entry, (it) => {
      it.sinceMs = accusation.startedMs;
      it.accuser = accusation.accuser;
      it.holdMs = accusation.holdMs;
      it.failAtMs = failAtMs;
    });
    agenda.push(Math.max(failAtMs, this.#context.now), {
      kind: 'expire',
      name: entry.name,
      epoch: entry.epoch,
    });
    const text = `also accused by ${accusation.accuser}, whose suspicion ends sooner`;
    this.#context.note(entry.name, text);
    this.#context.spread(entry.name);
  }

  /** The member has shown a higher incarnation than the claims against it. */
  becomeActive(entry: MemberEntry, record: MemberRecord, reason: string): void {
    const { table, now } = this.#context;
    const before = entry.state;
    const wasStalled = entry.stalledSinceMs !== undefined;
    table.change(entry, (it) => {
      it.state = 'active';
      it.incarnation = record.incarnation;
      it.accuser = undefined;
      it.stalledSinceMs = record.stalledMs > 0 ? now - record.stalledMs : undefined;
      if (before !== 'active') it.sinceMs = now - record.ageMs;
    });
    const isStalled = entry.stalledSinceMs !== undefined;
    const notable = before !== 'active' || isStalled !== wasStalled;
    if (notable) this.#context.note(entry.name, reason);
    this.#context.spread(entry.name);
    this.#context.announce(entry, before, notable);
  }

  becomeFailed(entry: MemberEntry, incarnation: number, sinceMs: Ms, reason: string): void {
    const { table, agenda, timing } = this.#context;
    const before = entry.state;
    assert(isLive(entry), `${entry.name} cannot fail: it is ${before}`);
    const isOwn = entry.accuser === this.#context.self.name && sinceMs === this.#context.now;
    table.change(entry, (it) => {
      it.state = 'failed';
      it.verdict = 'failed';
      it.sinceMs = sinceMs;
      it.incarnation = incarnation;
      it.accuser = isOwn ? this.#context.self.name : undefined;
    });
    const dueMs = Math.max(this.#context.now, sinceMs + timing.deleteAfterMs);
    agenda.push(dueMs, { kind: 'delete', name: entry.name, epoch: entry.epoch });
    this.#context.note(entry.name, reason);
    this.#context.spread(entry.name);
    this.#context.announce(entry, before, true);
  }

  /** The member said good-bye, or its good-bye was heard of. */
  becomeLeft(entry: MemberEntry, record: MemberRecord): void {
    const { table, agenda, timing, now } = this.#context;
    const before = entry.state;
    const wasVisible = before !== 'deleted';
    table.change(entry, (it) => {
      if (wasVisible) it.state = 'left';
      it.verdict = 'left';
      it.sinceMs = now - record.ageMs;
      it.incarnation = record.incarnation;
      it.accuser = undefined;
    });
    if (!wasVisible) return;
    agenda.push(now + timing.tombstoneMs, {
      kind: 'delete',
      name: entry.name,
      epoch: entry.epoch,
    });
    this.#context.note(entry.name, `Left: it said good-bye at incarnation ${record.incarnation}`);
    this.#context.spread(entry.name);
    this.#context.announce(entry, before, true);
  }

  /** From here on the entry is a tombstone. */
  becomeDeleted(entry: MemberEntry, reason: string): void {
    const { table, agenda, timing, rumours, now } = this.#context;
    const before = entry.state;
    assert(before !== 'deleted', `${entry.name} is Deleted already`);
    table.change(entry, (it) => {
      it.state = 'deleted';
      it.accuser = undefined;
    });
    rumours.remove(entry.name);
    const forgetMs = now + timing.tombstoneMs;
    agenda.push(forgetMs, { kind: 'forget', name: entry.name, epoch: entry.epoch });
    this.#context.note(entry.name, reason);
    this.#context.announce(entry, before, true);
    this.#actions.onDeleted(entry);
  }

  /** The hold of a suspicion may be over. */
  onExpire(entry: MemberEntry): void {
    const { now, self } = this.#context;
    if (entry.state !== 'suspicious') return;
    if (entry.accuser === self.name) {
      if (this.#isStretched(entry)) return;
    } else if (now < entry.failAtMs) return;
    const held = Math.round(now - entry.sinceMs);
    const reason = `Failed: no evidence of life in the ${held} ms since ${entry.accuser} accused it`;
    this.becomeFailed(entry, entry.incarnation, now, reason);
  }

  /** An accuser waits longer while it is unwell itself, and looks again as it recovers. */
  #isStretched(entry: MemberEntry): boolean {
    const { now, timing, health, agenda } = this.#context;
    const dueMs = entry.sinceMs + timing.failAfterMs * health.stretch;
    if (now >= dueMs) return false;
    const againMs = Math.min(dueMs, now + timing.gossipMs);
    agenda.push(againMs, { kind: 'expire', name: entry.name, epoch: entry.epoch });
    return true;
  }

  /** The time of a Failed or Left member on the list may be over. */
  onDelete(entry: MemberEntry): void {
    const { now, timing } = this.#context;
    const isFailedLongEnough =
      entry.state === 'failed' && now >= entry.sinceMs + timing.deleteAfterMs;
    const isLeftLongEnough = entry.state === 'left' && now >= entry.sinceMs + timing.tombstoneMs;
    if (!isFailedLongEnough && !isLeftLongEnough) return;
    this.becomeDeleted(entry, `Deleted: ${entry.state} for ${Math.round(now - entry.sinceMs)} ms`);
  }

  /** A tombstone may have done its duty. */
  onForget(entry: MemberEntry): void {
    const { now, timing, table } = this.#context;
    // It may have come back and died again since this task was planned.
    if (entry.state === 'deleted' && now >= entry.sinceMs + timing.tombstoneMs) table.remove(entry);
  }
}
