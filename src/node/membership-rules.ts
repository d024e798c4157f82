/**
 * What the leader commits about nodes, given what SWIM tells it and what is committed. Pure.
 *
 *     row \ member   active                      failed, or unknown for long    left
 *     up, draining   -                           down                           left
 *     down           up after 1 s × 2^flaps      -                              left
 *     left           up at once                  -                              -
 *
 * SWIM proposes, Raft decides (DESIGN §6): leases move and copies are made only after the commit.
 * A leader in bad health, or one that sees less than half of the nodes, may itself be what is
 * broken: it commits no down. News of another epoch than the row's is ignored: the new process
 * registers itself.
 */
import type { Ms } from '../base/index.js';
import type { NodeRow, NodeStatus } from '../store/index.js';
import type { Member } from '../swim/index.js';

export interface Mark {
  readonly name: string;
  readonly epoch: number;
  readonly status: NodeStatus;
  readonly reason: string;
}

export interface RulesInput {
  readonly nowMs: Ms;
  readonly self: string;
  readonly members: readonly Member[];
  readonly rows: readonly NodeRow[];
  /** Since when the leader has seen this process Active, or unknown, without a break. */
  readonly activeSinceMs: (name: string, epoch: number) => Ms | undefined;
  readonly missingSinceMs: (name: string) => Ms | undefined;
  /** Lifeguard's local health: 0 is healthy. */
  readonly healthScore: number;
}

export interface RulesOutput {
  readonly marks: readonly Mark[];
  /** When to look again even if nothing happens; undefined: not before the next event. */
  readonly againInMs: Ms | undefined;
}

const UP_DELAY_MS = 1_000;
const UP_DELAY_MS_MAX = 60_000;
/** A committed node that SWIM never mentions: it died before this leader could meet it. */
export const MISSING_MS_MAX = 5_000;
/** Half of Lifeguard's scale: probes of ours are answered late or not at all. */
const HEALTH_SCORE_BAD = 4;

export function decideMarks(input: RulesInput): RulesOutput {
  const marks: Mark[] = [];
  let againInMs: Ms | undefined;
  const mayCommitDown = seesHalf(input) && input.healthScore < HEALTH_SCORE_BAD;
  const byName = new Map(input.members.map((member) => [member.name as string, member]));
  for (const row of input.rows) {
    const verdict = judge(row, byName.get(row.name), input);
    if (verdict === undefined) continue;
    if (verdict.waitMs > 0) againInMs = Math.min(againInMs ?? verdict.waitMs, verdict.waitMs);
    else if (verdict.status !== 'down' || mayCommitDown) {
      const { status, reason } = verdict;
      marks.push({ name: row.name, epoch: row.epoch, status, reason });
    } else againInMs = Math.min(againInMs ?? UP_DELAY_MS, UP_DELAY_MS);
  }
  return { marks, againInMs };
}

interface Verdict {
  readonly status: NodeStatus;
  readonly reason: string;
  readonly waitMs: Ms;
}

function judge(row: NodeRow, member: Member | undefined, input: RulesInput): Verdict | undefined {
  if (row.name === input.self && member?.state !== 'left') return undefinedUnless(row, input);
  const isCounted = row.status === 'up' || row.status === 'draining';
  if (member === undefined || member.state === 'deleted') {
    const since = input.missingSinceMs(row.name) ?? input.nowMs;
    const waitMs = Math.max(0, since + MISSING_MS_MAX - input.nowMs);
    return isCounted ? { status: 'down', reason: 'no member knows it', waitMs } : undefined;
  }
  // Another process of that name: the row's is gone, and the new one registers itself.
  if (member.bootEpoch !== row.epoch) return undefined;
  switch (member.state) {
    case 'active':
      return isCounted ? undefined : comeBack(row, input);
    case 'suspicious':
      return undefined;
    case 'failed':
      return isCounted ? { status: 'down', reason: 'failed its probes', waitMs: 0 } : undefined;
    case 'left':
      return row.status === 'left' ? undefined : { status: 'left', reason: 'it left', waitMs: 0 };
  }
}

/** The leader counts itself up as soon as it leads: whoever leads is there. */
function undefinedUnless(row: NodeRow, input: RulesInput): Verdict | undefined {
  if (row.status === 'up' || row.status === 'draining') return undefined;
  const isThisProcess = input.activeSinceMs(row.name, row.epoch) !== undefined;
  return isThisProcess ? { status: 'up', reason: 'it leads', waitMs: 0 } : undefined;
}

function comeBack(row: NodeRow, input: RulesInput): Verdict | undefined {
  const since = input.activeSinceMs(row.name, row.epoch);
  if (since === undefined) return undefined;
  const waitMs = Math.max(0, since + upDelayMs(row) - input.nowMs);
  return { status: 'up', reason: row.status === 'left' ? 'it joined' : 'it is back', waitMs };
}

/** 1 s × 2^flaps, at most a minute; a node that had left is welcome at once. */
export function upDelayMs(row: Pick<NodeRow, 'flaps' | 'status'>): Ms {
  if (row.status === 'left' || row.flaps === 0) return 0;
  return Math.min(UP_DELAY_MS_MAX, UP_DELAY_MS * 2 ** Math.min(row.flaps, 16));
}

function seesHalf(input: RulesInput): boolean {
  const present = new Set(
    input.members.filter(({ state }) => state === 'active').map(({ name }) => name as string),
  );
  const counted = input.rows.filter((row) => row.status !== 'left');
  const seen = counted.filter((row) => row.name === input.self || present.has(row.name));
  return seen.length * 2 >= counted.length;
}
