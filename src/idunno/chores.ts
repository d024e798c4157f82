/**
 * What a leader has to put right, read from the rows: leases and models of processes that are gone,
 * leases of jobs that do not run, models that workers should have and do not, or have and should
 * not. Each chore is one small command; the leader proposes them until none is left. Pure.
 *
 * Because chores are found by looking and not by remembering, a new leader needs nothing from the
 * one before.
 */
import type { Wire } from '../net/index.js';
import type { NodeRow, ReadView } from '../store/index.js';
import { assignModels, wantedModels } from './assignment.js';
import {
  ASSIGNMENTS_INDEX,
  JOBS_INDEX,
  LEASES_INDEX,
  MODELS_INDEX,
  modelKey,
  NODES_INDEX,
} from './indexes.js';
import { ASSIGN_ROWS_MAX } from './limits.js';
import { isFinal, isRunnable } from './tables.js';

export interface Chore {
  readonly command: string;
  readonly args: readonly Wire[];
}

/** Everything to be done now, most urgent first. */
export function findChores(view: Pick<ReadView, 'index'>): Chore[] {
  return [...lostNodes(view), ...sweeps(view), ...assignmentChanges(view)];
}

/** Processes that Raft has given up, or that another process of the node's name has replaced. */
function lostNodes(view: Pick<ReadView, 'index'>): Chore[] {
  const nodes = view.index(NODES_INDEX);
  const lost = new Map<string, Chore>();
  const look = (name: string, epoch: number) => {
    const row = nodes.get(name);
    if (row === undefined || lost.has(name)) return;
    const isReplaced = epoch < row.epoch;
    const isGone = row.status === 'down' || row.status === 'left';
    if (!isReplaced && !isGone) return;
    const upTo = isGone ? row.epoch : row.epoch - 1;
    const cause = row.status === 'left' ? 'left' : 'lost';
    lost.set(name, { command: 'idunno.node.lost', args: [name, upTo, cause] });
  };
  for (const [name, leases] of view.index(LEASES_INDEX).byNode) {
    for (const lease of leases.values()) look(name, lease.epoch);
  }
  for (const [name, rows] of view.index(ASSIGNMENTS_INDEX).byNode) {
    for (const row of rows.values()) look(name, row.epoch);
  }
  return [...lost.values()];
}

function sweeps(view: Pick<ReadView, 'index'>): Chore[] {
  const chores: Chore[] = [];
  for (const job of view.index(JOBS_INDEX).values()) {
    if (isRunnable(job.state)) continue;
    const isLittered = job.leases > 0 || (isFinal(job.state) && job.ready > 0);
    if (isLittered) chores.push({ command: 'idunno.job.sweep', args: [job.id] });
  }
  return chores;
}

function assignmentChanges(view: Pick<ReadView, 'index'>): Chore[] {
  const { models, revisions } = view.index(MODELS_INDEX);
  const { byModel } = view.index(ASSIGNMENTS_INDEX);
  const nodes = view.index(NODES_INDEX);
  const wanted = wantedModels(models.values(), view.index(JOBS_INDEX).values());
  const up = [...nodes.values()].filter((row) => row.status === 'up');
  const has = (key: string, node: string) => byModel.get(key)?.has(node) === true;
  const given = assignModels(wanted, up.map((row) => row.name).sort(), (model, node) =>
    has(modelKey(model.name, model.revision), node),
  );
  const add: Wire[] = [];
  for (const model of wanted) {
    const key = modelKey(model.name, model.revision);
    for (const node of given.get(key) ?? []) {
      const epoch = nodes.get(node)?.epoch ?? 0;
      const row = byModel.get(key)?.get(node);
      if (row === undefined || row.epoch < epoch)
        add.push([model.name, model.revision, node, epoch]);
    }
  }
  const remove: Wire[] = [];
  for (const [key, rows] of byModel) {
    // The errors of a revision that failed stay readable until the next one is deployed.
    const revision = revisions.get(key);
    const isLastWord =
      revision?.state === 'Failed' && models.get(revision.name)?.newest === revision.revision;
    if (isLastWord) continue;
    for (const row of rows.values()) {
      if (!isWantedOn(given.get(key), nodes.get(row.node))) {
        remove.push([row.name, row.revision, row.node]);
      }
    }
  }
  if (add.length === 0 && remove.length === 0) return [];
  const args = [add.slice(0, ASSIGN_ROWS_MAX), remove.slice(0, ASSIGN_ROWS_MAX)];
  return [{ command: 'idunno.model.assign', args }];
}

/** A draining node keeps what it has until it leaves; one that is down is a chore of its own. */
function isWantedOn(given: ReadonlySet<string> | undefined, node: NodeRow | undefined): boolean {
  if (given === undefined) return false;
  return node === undefined || node.status !== 'up' || given.has(node.name);
}
