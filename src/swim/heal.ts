/**
 * The way into the cluster, and the way back. Greets the configured nodes and those remembered from
 * earlier runs until somebody answers, then for ever one that is not on the list every `healMs`:
 * two halves of a cluster, or a node that everybody has given up, find each other again without an
 * operator, however long it took (antrea #4491, ringpop #264).
 */
import type { NodeId } from '../base/index.js';
import { HEAL_BATCH, HEAL_TARGETS_MAX } from './config.js';
import type { SwimContext } from './context.js';
import { isLive, type MemberEntry } from './members.js';
import type { Introducer } from './messages.js';

/** Greetings right after start, ms: a cluster that boots as a whole finds itself at once. */
const BOOT_ROUNDS_MS = [0, 100, 200, 400, 800, 1600];
/** Greetings of one moment to buried members that a list calls alive. */
const CLAIMED_BATCH = 64;

export class Healer {
  readonly #context: SwimContext;
  readonly #greet: (introducer: Introducer) => void;
  readonly #targets = new Map<NodeId, Introducer>();
  #isRunning = false;
  #round = 0;
  #turn = 0;
  #claimedAtMs = 0;
  #claimedCount = 0;

  constructor(
    context: SwimContext,
    introducers: readonly Introducer[],
    greet: (introducer: Introducer) => void,
  ) {
    this.#context = context;
    this.#greet = greet;
    for (const introducer of introducers) this.add(introducer);
  }

  /** Looks for it from now on. Configured nodes come first, so they are never crowded out. */
  add(introducer: Introducer): void {
    if (introducer.name === this.#context.self.name) return;
    const isKnown = this.#targets.has(introducer.name);
    if (!isKnown && this.#targets.size >= HEAL_TARGETS_MAX) return;
    const { name, host, port, isSeed = false } = introducer;
    this.#targets.set(name, { name, host, port, isSeed });
  }

  /** After start and after a return: quickly at first. */
  begin(): void {
    this.#round = 0;
    if (this.#isRunning) {
      this.#greetMissing(HEAL_BATCH);
      return;
    }
    this.#isRunning = true;
    this.#context.agenda.push(this.#context.now, { kind: 'heal' });
  }

  onDue(): void {
    const { agenda, now, table, timing } = this.#context;
    const isAlone = table.active.length === 0;
    const bootMs = BOOT_ROUNDS_MS[this.#round++ + 1];
    this.#greetMissing(isAlone ? HEAL_BATCH : 1);
    const regularMs = isAlone ? timing.aloneHealMs : timing.healMs;
    agenda.push(now + (isAlone ? (bootMs ?? regularMs) : regularMs), { kind: 'heal' });
  }

  /** A whole list calls a member alive that is buried here: ask it. */
  onClaimedAlive(entry: MemberEntry): void {
    const { now, timing } = this.#context;
    if (now < entry.toldMs + timing.aloneHealMs) return;
    if (now !== this.#claimedAtMs) this.#claimedCount = 0;
    this.#claimedAtMs = now;
    if (++this.#claimedCount > CLAIMED_BATCH) return;
    entry.toldMs = now;
    this.#greet(entry);
  }

  #isMissing(target: Introducer): boolean {
    const { table } = this.#context;
    if (target.isSeed === true) return table.active.length === 0;
    const entry = table.get(target.name);
    return entry === undefined || (!isLive(entry) && entry.state !== 'left');
  }

  /** Up to `count` of those that are neither on the list nor gone by their own will, in turn. */
  #greetMissing(count: number): void {
    const targets = [...this.#targets.values()];
    let greeted = 0;
    for (let i = 0; i < targets.length && greeted < count; i++) {
      const target = targets[this.#turn++ % targets.length];
      if (target === undefined || !this.#isMissing(target)) continue;
      this.#greet(target);
      greeted++;
    }
  }
}
