/**
 * Rounds of one kind of failure of the leader, with a client that writes all the time:
 *
 *     calm ──▶ strike the leader ──▶ next write that was sent after it ──▶ heal ──▶ caught up ──▶ calm
 */
import { pause } from '../../drills/lib/local-cluster.js';
import type { SteadyWriter } from './steady-writer.js';

export type Kind = 'kill' | 'freeze' | 'stop';

/** A cluster as the rounds see it. */
export interface Subject {
  readonly writer: SteadyWriter;
  /** Name of the leader, once everybody is there and has caught up. */
  settled(): Promise<string>;
  /** The signal has left when it returns; resolves when the process has gone (or is frozen). */
  strike(leader: string, kind: Kind): Promise<void>;
  /** Makes whole again what was struck. */
  heal(leader: string, kind: Kind): Promise<void>;
}

export interface Round {
  readonly kind: Kind;
  readonly leader: string;
  /** Wall clock of the signal, ms. */
  readonly struckAtMs: number;
  /** From the signal to the acknowledgement of the first write that was sent after it. */
  readonly nextWriteMs: number;
  /** The longest that any write took which was under way at or after the signal. */
  readonly longestWriteMs: number;
  readonly failedWrites: number;
  readonly errors: readonly string[];
}

/** Between the last sign of trouble and the next strike: a restart is not what is measured. */
const CALM_MS = 500;
/** After the first answer a second disturbance would still count against the round. */
const AFTER_MS = 100;

export async function runRound(subject: Subject, kind: Kind): Promise<Round> {
  const { writer } = subject;
  await subject.settled();
  await pause(CALM_MS);
  const leader = await subject.settled();
  writer.beginRound();
  const struckAtMs = Date.now();
  const sinceMs = performance.now();
  const gone = subject.strike(leader, kind);
  const next = await writer.nextAck(sinceMs);
  await gone;
  await pause(AFTER_MS);
  const during = writer.times.filter(({ endedMs }) => endedMs >= sinceMs);
  await subject.heal(leader, kind);
  const errors = during.flatMap(({ error }) => error ?? []);
  return {
    kind,
    leader,
    struckAtMs,
    nextWriteMs: next.endedMs - sinceMs,
    longestWriteMs: Math.max(...during.map(({ sentMs, endedMs }) => endedMs - sentMs)),
    failedWrites: errors.length,
    errors: [...new Set(errors)].slice(0, 3),
  };
}
