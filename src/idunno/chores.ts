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
import { assignModels, floorOf, type WantedModel, wantedModels } from './assignment.js';
import {
  ASSIGNMENTS_INDEX,
  COPIES_INDEX,
  JOBS_INDEX,
  LEASES_INDEX,
  MODELS_INDEX,
  modelKey,
  NODES_INDEX,
} from './indexes.js';
import { ASSIGN_ROWS_MAX, DECISIONS_MAX } from './limits.js';
import { readScaling } from './scaling-settings.js';
import { isFinal, isRunnable } from './tables.js';
import type { WorkersWanted } from './types.js';

export interface Chore {
  readonly command: string;
  readonly args: readonly Wire[];
}

/** Everything to be done now, most urgent first. */
export function findChores(view: Pick<ReadView, 'index' | 'get'>): Chore[] {
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

function assignmentChanges(view: Pick<ReadView, 'index' | 'get'>): Chore[] {
  const { models, revisions } = view.index(MODELS_INDEX);
  const { byModel } = view.index(ASSIGNMENTS_INDEX);
  const copies = view.index(COPIES_INDEX);
  const nodes = view.index(NODES_INDEX);
  const wanted = wantedModels(models.values(), view.index(JOBS_INDEX).values());
  const workers = [...nodes.values()]
    .filter((row) => row.status === 'up')
    .map((row) => row.name)
    .sort();
  const wish = ({ name, revision }: WantedModel) =>
    revisions.get(modelKey(name, revision))?.workers ?? null;
  const given = assignModels({
    wanted,
    workers,
    has: (model, node) => byModel.get(modelKey(model.name, model.revision))?.has(node) === true,
    hasFiles: (model, node) =>
      copies.get(modelKey(model.name, model.revision))?.get(node)?.epoch === nodes.get(node)?.epoch,
    wish,
    roomMax: readScaling(view).modelsPerWorker,
  });
  const add: (readonly [WantedModel, string, number])[] = [];
  for (const model of wanted) {
    const key = modelKey(model.name, model.revision);
    for (const node of given.get(key) ?? []) {
      const epoch = nodes.get(node)?.epoch ?? 0;
      const row = byModel.get(key)?.get(node);
      if (row === undefined || row.epoch < epoch) add.push([model, node, epoch]);
    }
  }
  const remove = unwantedRows(view, given);
  if (add.length === 0 && remove.length === 0) return [];
  const added = add.slice(0, ASSIGN_ROWS_MAX);
  const count = new Set(wanted.map(({ name }) => name)).size;
  const reasons = wanted.flatMap((model): Wire[] => {
    const to = added.filter(([each]) => each === model).map(([, node]) => node);
    if (to.length === 0) return [];
    const why = describeFloor(wish(model), workers.length, count);
    return [[model.name, model.revision, to, [], why]];
  });
  const rows = added.map(
    ([{ name, revision }, node, epoch]): Wire => [name, revision, node, epoch],
  );
  const args = [rows, remove.slice(0, ASSIGN_ROWS_MAX), reasons.slice(0, DECISIONS_MAX)];
  return [{ command: 'idunno.model.assign', args }];
}

function describeFloor(wish: WorkersWanted, workers: number, models: number): string {
  const count = floorOf(wish, workers, models);
  if (wish === null)
    return `deployed: ${count} of ${workers} workers, as there are ${models} models`;
  if (wish === 'all') return 'deployed on all workers';
  if (typeof wish === 'number') return `deployed on ${count} of ${workers} workers, as asked`;
  return `deployed on ${wish.join(', ')}, as asked`;
}

/** Assignments, and files of revisions that nobody wants any more. */
function unwantedRows(
  view: Pick<ReadView, 'index'>,
  given: ReadonlyMap<string, ReadonlySet<string>>,
): Wire[] {
  const { models, revisions } = view.index(MODELS_INDEX);
  const nodes = view.index(NODES_INDEX);
  const remove: Wire[] = [];
  // The errors of a revision that failed stay readable until the next one is deployed.
  const isLastWord = (key: string): boolean => {
    const revision = revisions.get(key);
    const model = revision === undefined ? undefined : models.get(revision.name);
    const isNewest = model?.newest === revision?.revision && model?.isRemoved === false;
    return revision?.state === 'Failed' && isNewest;
  };
  for (const [key, rows] of view.index(ASSIGNMENTS_INDEX).byModel) {
    if (isLastWord(key)) continue;
    for (const row of rows.values()) {
      if (!isWantedOn(given.get(key), nodes.get(row.node))) {
        remove.push([row.name, row.revision, row.node]);
      }
    }
  }
  for (const [key, rows] of view.index(COPIES_INDEX)) {
    if (given.has(key) || isLastWord(key)) continue;
    for (const row of rows.values()) remove.push([row.name, row.revision, row.node]);
  }
  return remove;
}

/** A draining node keeps what it has until it leaves; one that is down is a chore of its own. */
function isWantedOn(given: ReadonlySet<string> | undefined, node: NodeRow | undefined): boolean {
  if (given === undefined) return false;
  return node === undefined || node.status !== 'up' || given.has(node.name);
}
