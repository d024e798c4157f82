/**
 * The list of members as the main thread holds it: a copy that follows the core's events, so that
 * reading it never waits. Listeners hear each notable change once, in order.
 */
import { type Clock, type Logger, type Ms, must, type NodeId } from '../base/index.js';
import type { Member, MemberEvent, MemberState } from './types.js';

interface Row {
  readonly member: Member;
  readonly stalledSinceMs: Ms | undefined;
}

export class MembershipView {
  readonly #self: NodeId;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #rows = new Map<NodeId, Row>();
  readonly #listeners: ((event: MemberEvent) => void)[] = [];
  healthScore = 0;

  constructor(self: NodeId, clock: Clock, logger: Logger) {
    this.#self = self;
    this.#clock = clock;
    this.#logger = logger;
  }

  get self(): Member {
    return must(this.get(this.#self), 'this node on its own list');
  }

  members(): readonly Member[] {
    const members = [...this.#rows.values()].map((row) => this.#present(row));
    return members.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: NodeId): Member | undefined {
    const row = this.#rows.get(name);
    return row && this.#present(row);
  }

  onChange(listener: (event: MemberEvent) => void): void {
    this.#listeners.push(listener);
  }

  /** `member` with times of this side's clock. */
  onMember(member: Member, before: MemberState | undefined, notable: boolean, atWallMs: Ms): void {
    if (member.state === 'deleted') this.#rows.delete(member.name);
    else {
      const stalledSinceMs =
        member.stalledMs > 0 ? this.#clock.now() - member.stalledMs : undefined;
      this.#rows.set(member.name, { member, stalledSinceMs });
    }
    if (!notable) return;
    for (const listener of this.#listeners) {
      try {
        listener({ member, before, atWallMs });
      } catch (error) {
        // One listener's bug must not hide the change from the others.
        this.#logger.error('swim.listener-failed', { error: String(error) });
      }
    }
  }

  /** A stall goes on while nothing is heard: its length is computed when asked. */
  #present({ member, stalledSinceMs }: Row): Member {
    if (stalledSinceMs === undefined) return member;
    return { ...member, stalledMs: this.#clock.now() - stalledSinceMs };
  }
}
