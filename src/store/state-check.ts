/**
 * Are the replicas' states equal, and are the rows on this disk still what was written?
 *
 * Each follower asks the leader every few seconds for the sums of its checkpoints: sums of all rows
 * at the same entries of the log (row-sum.ts). Where one differs the two have applied the same log
 * to different results, and this node's state is thrown away and sent by the leader again. A leader
 * with damaged rows cannot spread them: whoever receives a snapshot adds it up.
 *
 * Once a day each coordinator reads all its rows and adds them up, in slices between which others
 * run. LevelDB says nothing of a byte that has changed on the disk.
 *
 *     store.checkpoints  [] → [[index, sum], …]
 */
import type { Clock, LogIndex, Logger, Ms } from '../base/index.js';
import { isIdunnoError } from '../base/index.js';
import type { Rpc, Wire } from '../net/index.js';
import type { RaftDriver } from '../raft/index.js';
import type { Checkpoint, StateMachine } from './state-machine.js';

export interface StateCheckParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly log: Logger;
  readonly driver: RaftDriver;
  readonly machine: StateMachine;
}

const CHECKPOINTS = 'store.checkpoints';
const COMPARE_EVERY_MS: Ms = 5_000;
const COMPARE_TIMEOUT_MS: Ms = 2_000;
const SCRUB_EVERY_MS: Ms = 24 * 60 * 60 * 1000;

export class StateCheck {
  readonly #parts: StateCheckParts;
  readonly #stop = new AbortController();

  constructor(parts: StateCheckParts) {
    this.#parts = parts;
    parts.rpc.handle(CHECKPOINTS, () => ({
      value: parts.machine.checkpoints.map(({ index, sum }) => [index, sum]),
    }));
  }

  start(): void {
    this.#every(COMPARE_EVERY_MS, () => this.compare());
    this.#every(SCRUB_EVERY_MS, () => this.scrub());
  }

  stop(): void {
    this.#stop.abort();
  }

  /** One comparison with the leader. Resolves with the entry at which the states differ, if any. */
  async compare(): Promise<LogIndex | undefined> {
    const { rpc, driver, machine, log } = this.#parts;
    const { leader } = driver;
    if (leader === undefined || driver.role.role === 'leader') return undefined;
    if (machine.checkpoints.length === 0) return undefined;
    const { value } = await rpc.call(leader, CHECKPOINTS, [], {
      timeoutMs: COMPARE_TIMEOUT_MS,
      signal: this.#stop.signal,
    });
    const at = firstDifference(machine.checkpoints, value);
    if (at === undefined) return undefined;
    log.error('store.state-differs', { leader, index: at });
    await driver.resync(`its state differs from that of ${leader} at entry ${at}`);
    return at;
  }

  /** Reads all rows. Resolves with what is wrong, if anything is. */
  async scrub(): Promise<string | undefined> {
    const { driver, machine, log } = this.#parts;
    const problem = await machine.scrub();
    if (problem === undefined) return undefined;
    log.error('store.state-damaged', { reason: problem });
    await driver.resync(problem);
    return problem;
  }

  #every(periodMs: Ms, work: () => Promise<unknown>): void {
    const { clock, log } = this.#parts;
    const { signal } = this.#stop;
    const loop = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(periodMs, signal);
        try {
          await work();
        } catch (error) {
          if (signal.aborted) return;
          if (!isIdunnoError(error)) throw error;
          // The leader is busy, changing or old: next time.
          log.debug('store.check-failed', { error });
        }
      }
    };
    loop().catch((error: unknown) => {
      if (!signal.aborted) log.error('store.check-ended', { error });
    });
  }
}

function firstDifference(own: readonly Checkpoint[], answer: Wire): LogIndex | undefined {
  if (!Array.isArray(answer)) return undefined;
  const theirs = new Map<unknown, unknown>();
  for (const pair of answer) if (Array.isArray(pair)) theirs.set(pair[0], pair[1]);
  return own.find(({ index, sum }) => theirs.has(index) && theirs.get(index) !== sum)?.index;
}
