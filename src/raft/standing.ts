/**
 * What this node knows of its role and of who is a member, and whoever wants to hear of changes.
 * Listeners must not throw.
 */
import type { Logger, NodeId } from '../base/index.js';
import { NO_CONF } from './conf.js';
import type { ConfEffect } from './core-loop.js';
import { describeConf } from './describe.js';
import type { MembersEvent, RoleEvent } from './driver-types.js';
import { membersOf } from './quorum.js';

export class Standing {
  readonly #self: NodeId;
  readonly #log: Logger;
  readonly #roleListeners: ((event: RoleEvent) => void)[] = [];
  readonly #memberListeners: ((event: MembersEvent) => void)[] = [];
  #role: RoleEvent = { role: 'follower', term: 0, leader: undefined, isReady: false };
  #members: MembersEvent = { conf: NO_CONF, index: 0, isCommitted: false, isMember: false };

  constructor(self: NodeId, log: Logger) {
    this.#self = self;
    this.#log = log;
  }

  get role(): RoleEvent {
    return this.#role;
  }

  get members(): MembersEvent {
    return this.#members;
  }

  get isLeading(): boolean {
    return this.#role.role === 'leader';
  }

  onRole(listener: (event: RoleEvent) => void): void {
    this.#roleListeners.push(listener);
  }

  onMembers(listener: (event: MembersEvent) => void): void {
    this.#memberListeners.push(listener);
  }

  setRole(event: RoleEvent): void {
    const { role, term, leader, isReady } = event;
    this.#role = event;
    this.#log.info('raft.role', { role, term, leader: leader ?? '', isReady });
    for (const listener of this.#roleListeners) listener(event);
  }

  /** It takes no part for now, and follows nobody. */
  stepDown(): void {
    this.setRole({ role: 'follower', term: this.#role.term, leader: undefined, isReady: false });
  }

  /** The term on disk, before anything has happened in it: nobody is told. */
  startAt(term: number): void {
    this.#role = { ...this.#role, term };
  }

  setMembers({ conf, index, isCommitted, isRemoved }: Omit<ConfEffect, 'kind'>): void {
    const isMember = !isRemoved && membersOf(conf).includes(this.#self);
    this.#members = { conf, index, isCommitted, isMember };
    this.#log.info('raft.members', { members: describeConf(conf), index, isCommitted, isMember });
    for (const listener of this.#memberListeners) listener(this.#members);
  }
}
