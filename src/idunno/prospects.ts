/**
 * What a report of a worker could bring it, read from the rows: would a command lease it
 * something, does it know all its leases, what should it be told beside the decision. Pure.
 *
 * It looks at what the `work` command will look at, so that the leader proposes only what will have
 * an effect and answers the rest from memory.
 */
import type { ReadView } from '../store/index.js';
import { catalogOf } from './catalog.js';
import { hasWork } from './command-work.js';
import {
  ASSIGNMENTS_INDEX,
  JOBS_INDEX,
  LEASES_INDEX,
  leaseKey,
  modelKey,
  NODES_INDEX,
} from './indexes.js';
import { INLINE_GRANT_BYTES_MAX } from './limits.js';
import type { Answer, Decision, Report } from './protocol.js';
import { type LeaseRow, NO_TOTALS, totals } from './tables.js';

/** Something has happened that must go into the log. */
export function bringsNews({ done, failed, returned, models }: Report): boolean {
  return done.length + failed.length + returned.length + models.length > 0;
}

/** Leases of this worker that it does not know of: the answer that carried them was lost. */
export function hasLostLeases(view: ReadView, report: Report): boolean {
  const mine = view.index(LEASES_INDEX).byNode.get(report.node);
  if (mine === undefined) return false;
  const held = new Set(report.held.map(leaseKey));
  return [...mine.values()].some(
    (lease) => lease.epoch === report.epoch && !held.has(leaseKey(lease)),
  );
}

/** Would a command lease something to this worker? `hedges`: tasks that deserve a second copy. */
export function canServe(view: ReadView, report: Report, hedges: readonly LeaseRow[]): boolean {
  if (report.want === 0) return false;
  const node = view.index(NODES_INDEX).get(report.node);
  if (node?.status !== 'up' || node.epoch !== report.epoch) return false;
  const { inlineBytes } = view.get(totals, [0]) ?? NO_TOTALS;
  if (inlineBytes < INLINE_GRANT_BYTES_MAX) {
    for (const job of view.index(JOBS_INDEX).values()) {
      if (hasWork(job) && isWarmFor(view, report, job.id)) return true;
    }
  }
  return hedges.some((lease) => lease.node !== report.node && isWarmFor(view, report, lease.job));
}

/** Has this worker the job's model loaded? */
export function isWarmFor(view: ReadView, report: Report, jobId: number): boolean {
  const job = view.index(JOBS_INDEX).get(jobId);
  if (job === undefined) return false;
  const key = modelKey(job.model, job.revision);
  const row = view.index(ASSIGNMENTS_INDEX).byModel.get(key)?.get(report.node);
  return row?.state === 'warm' && row.epoch === report.epoch;
}

/** The decision, with what the worker should know beside it. */
export function answerOf(
  view: ReadView,
  report: Report,
  decision: Decision,
  isRecalled: boolean,
): Answer {
  const mine = view.index(LEASES_INDEX).byNode.get(report.node);
  const catalog = catalogOf(view, report.node, report.epoch);
  return {
    ...decision,
    isTaken: true,
    dropped: report.held.filter((lease) => mine?.has(leaseKey(lease)) !== true),
    recall: isRecalled && report.held.some((lease) => !lease.isStarted),
    catalog: catalog.mark === report.catalog ? null : catalog,
  };
}

/** Worth an answer although no command has decided anything. */
export function isWorthSaying(answer: Answer): boolean {
  return answer.dropped.length > 0 || answer.recall || answer.catalog !== null;
}
