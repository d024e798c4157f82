/**
 * Commands about models and about which worker has which.
 *
 *   deploy ──▶ Undeployed ──▶ Deployed      every worker that was given it has loaded it, or has
 *                   │             │         failed to while another has
 *                   ▼             ▼ undeploy
 *                Failed      Undeployed     no worker could load it
 *
 * A new revision takes over whole, at the moment it is Deployed; until then, and if it fails, jobs
 * go to the one before. Which worker is given which revision is the leader's proposal
 * (assignment.ts); a worker that died is not waited for, because its rows are taken away.
 */
import { IdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';
import {
  badArgument,
  type Command,
  type CommandContext,
  parseCount,
  parseText,
  type Tx,
} from '../store/index.js';
import { wantedModels } from './assignment.js';
import { Book } from './book.js';
import { MODELS_INDEX, modelKey, NODES_INDEX } from './indexes.js';
import {
  ASSIGN_ROWS_MAX,
  DECISIONS_MAX,
  MODEL_FILES_MAX,
  REASON_CHARS_MAX,
  SWEEP_LEASES_MAX,
  WORKERS_NAMED_MAX,
} from './limits.js';
import { readLease, readModelFile } from './protocol.js';
import { copies, isFinal, models, type RevisionRow, revisions } from './tables.js';
import { RELEASES, type ReleaseCause, releaseLease } from './task-machine.js';
import type { WorkersWanted } from './types.js';
import { readList, readModelName, readReason, readTuple } from './wire.js';

/**
 * `idunno.model.deploy` [name, description, files, workers] → revision. Files: [[name, version,
 * bytes]]; workers: null, 'all', a number, or names of nodes that the cluster knows.
 */
export const deployModel: Command = (tx, args, context) => {
  const name = readModelName(args[0]);
  const description = readReason(args[1] ?? '', 'a description', REASON_CHARS_MAX);
  const files = readList(args[2], 'files of a model', MODEL_FILES_MAX, readModelFile);
  if (files.length === 0) throw badArgument(`model ${name} without files`);
  const workers = readWorkersWanted(args[3]);
  for (const node of Array.isArray(workers) ? (workers as readonly string[]) : []) {
    if (tx.index(NODES_INDEX).has(node)) continue;
    throw noSuchWorker(name, node);
  }
  const before = tx.get(models, [name]);
  const revision = (before?.newest ?? 0) + 1;
  const row: RevisionRow = {
    name,
    revision,
    state: 'Undeployed',
    description,
    files,
    workers,
    createdMs: context.nowMs,
    deployedMs: null,
    error: null,
  };
  tx.put(revisions, [name, revision], row);
  tx.put(models, [name], {
    name,
    newest: revision,
    serving: before?.serving ?? 0,
    deploying: revision,
    isRemoved: false,
  });
  return revision;
};

function readWorkersWanted(wire: Wire | undefined): WorkersWanted {
  if (wire === null || wire === undefined || wire === 'all') return wire ?? null;
  if (!Array.isArray(wire)) {
    const count = parseCount(wire, 'the number of workers', WORKERS_NAMED_MAX);
    if (count === 0) throw badArgument('a model on 0 workers could serve nobody: name 1 or more');
    return count;
  }
  const names = readList(wire, 'workers', WORKERS_NAMED_MAX, (name) =>
    parseText(name, 'a node', 64),
  );
  if (names.length === 0) throw badArgument('a model on no worker could serve nobody: name one');
  return [...new Set(names)].sort();
}

/** `idunno.model.undeploy` [name] → revision that served. Refused while jobs use the model. */
export const undeployModel: Command = (tx, args, context) => retire(tx, args, context, false);

/** `idunno.model.remove` [name] → revision that served. As undeploy; it is listed no more. */
export const removeModel: Command = (tx, args, context) => retire(tx, args, context, true);

function retire(tx: Tx, args: readonly Wire[], context: CommandContext, isRemoved: boolean): Wire {
  const name = readModelName(args[0]);
  const book = new Book(tx, context);
  const model = tx.get(models, [name]);
  if (model === undefined || model.isRemoved) throw modelNotFound(name);
  for (const job of book.allJobs()) {
    if (job.model !== name || isFinal(job.state)) continue;
    throw new IdunnoError(
      'CONFLICT',
      `cannot ${isRemoved ? 'remove' : 'undeploy'} ${name}: job ${job.id} is ${job.state}; cancel it or let it finish first`,
      { job: job.id },
    );
  }
  for (const revision of new Set([model.serving, model.deploying])) {
    const row = revision === 0 ? undefined : tx.get(revisions, [name, revision]);
    if (row !== undefined) tx.put(revisions, [name, revision], { ...row, state: 'Undeployed' });
  }
  tx.put(models, [name], { ...model, serving: 0, deploying: 0, isRemoved });
  return model.serving;
}

export function noSuchWorker(model: string, node: string): IdunnoError {
  return new IdunnoError(
    'NODE_NOT_FOUND',
    `cannot load ${model} on "${node}": no node of that name was ever part of the cluster`,
    { node },
  );
}

export function modelNotFound(name: string): IdunnoError {
  return new IdunnoError(
    'MODEL_NOT_FOUND',
    `there is no model "${name}": deploy its folder first, or see the list of models`,
    { model: name },
  );
}

/**
 * `idunno.model.assign` [add, remove, decisions] → null. add: [[name, revision, node, epoch]],
 * remove: [[name, revision, node]], decisions: see readDecisionText. Proposed by the leader; adding
 * what is there already changes nothing. What is removed of a revision that nobody wants any more
 * is forgotten whole, with the files that the worker has.
 */
export const assignModels: Command = (tx, args, context) => {
  const book = new Book(tx, context);
  const touched = new Map<string, [string, number]>();
  const wanted = wantedModels(tx.index(MODELS_INDEX).models.values(), book.allJobs());
  const isWanted = (name: string, revision: number): boolean =>
    wanted.some((each) => each.name === name && each.revision === revision);
  readList(args[1], 'assignments', ASSIGN_ROWS_MAX, (wire) => {
    const [name, revision, node] = readTuple(wire, 'an assignment', 3);
    const of = [readModelName(name), parseCount(revision, 'a revision')] as const;
    const row = book.assignmentsOf(...of).get(parseText(node, 'a node', 64));
    if (row !== undefined) book.deleteAssignment(row);
    const copy = [...of, parseText(node, 'a node', 64)];
    if (tx.get(copies, copy) !== undefined && !isWanted(...of)) tx.delete(copies, copy);
    touched.set(modelKey(...of), [...of]);
  });
  readList(args[0], 'assignments', ASSIGN_ROWS_MAX, (wire) => {
    const [name, revision, node, epoch] = readTuple(wire, 'an assignment', 4);
    const row = {
      name: readModelName(name),
      revision: parseCount(revision, 'a revision'),
      node: parseText(node, 'a node', 64),
      epoch: parseCount(epoch, 'an epoch'),
    };
    const before = book.assignmentsOf(row.name, row.revision).get(row.node);
    if (before !== undefined && before.epoch >= row.epoch) return;
    if (book.revision(row.name, row.revision) === undefined) return;
    book.setAssignment({ ...row, state: 'assigned', error: null, given: context.index });
    touched.set(modelKey(row.name, row.revision), [row.name, row.revision]);
  });
  for (const of of touched.values()) settleRevision(book, ...of);
  for (const decision of readList(args[2] ?? [], 'decisions', DECISIONS_MAX, readDecisionText)) {
    book.addDecision(decision);
  }
  book.flush();
  return null;
};

/** [name, revision, added, removed, reason]. */
function readDecisionText(wire: Wire | undefined) {
  const [name, revision, added, removed, reason] = readTuple(wire, 'a decision', 5);
  const readNodes = (nodes: Wire | undefined): string[] =>
    readList(nodes, 'nodes', ASSIGN_ROWS_MAX, (node) => parseText(node, 'a node', 64));
  return {
    name: readModelName(name),
    revision: parseCount(revision, 'a revision'),
    added: readNodes(added),
    removed: readNodes(removed),
    reason: readReason(reason, 'a reason', REASON_CHARS_MAX),
  };
}

/** Moves a revision that is being deployed on, when its last worker has loaded it or failed to. */
export function settleRevision(book: Book, name: string, revision: number): void {
  const model = book.model(name);
  const row = book.revision(name, revision);
  if (row === undefined || model?.deploying !== revision) return;
  const given = [...book.assignmentsOf(name, revision).values()];
  const isSettled = given.every(({ state }) => state === 'warm' || state === 'failed');
  if (given.length === 0 || !isSettled) return;
  const { tx, context } = book;
  if (given.some(({ state }) => state === 'warm')) {
    const deployedMs = context.nowMs;
    tx.put(revisions, [name, revision], { ...row, state: 'Deployed', deployedMs });
    tx.put(models, [name], { ...model, serving: revision, deploying: 0 });
  } else {
    const error = given.find((each) => each.error !== null)?.error ?? 'it could not be loaded';
    tx.put(revisions, [name, revision], { ...row, state: 'Failed', error });
    tx.put(models, [name], { ...model, deploying: 0 });
  }
}

/**
 * `idunno.node.lost` [node, epoch, cause] → rows left. Ends the leases of the node's processes up
 * to this epoch and takes its models away; the leader repeats it until nothing is left.
 */
export const loseNode: Command = (tx, args, context) => {
  const node = parseText(args[0], 'a node', 64);
  const epoch = parseCount(args[1], 'an epoch');
  const cause = args[2] === 'left' ? 'left' : 'lost';
  const book = new Book(tx, context);
  const held = book.leasesOfNode(node).filter((lease) => lease.epoch <= epoch);
  const reason = `worker ${node} went down while computing it, as others did before`;
  for (const lease of held.slice(0, SWEEP_LEASES_MAX)) {
    releaseLease(book, lease, cause, reason);
  }
  const given = book.assignmentsOfNode(node).filter((row) => row.epoch <= epoch);
  for (const row of given.slice(0, SWEEP_LEASES_MAX)) {
    book.deleteAssignment(row);
    settleRevision(book, row.name, row.revision);
  }
  book.flush();
  return Math.max(0, held.length - SWEEP_LEASES_MAX) + Math.max(0, given.length - SWEEP_LEASES_MAX);
};

/** `idunno.lease.release` [leases, cause] → null. Each is named by task and attempt. */
export const releaseLeases: Command = (tx, args, context) => {
  const names = readList(args[0], 'leases', SWEEP_LEASES_MAX, readLease);
  const cause = parseText(args[1], 'a cause', 16);
  if (!Object.hasOwn(RELEASES, cause)) throw badArgument(`"${cause}" is no cause to end a lease`);
  const book = new Book(tx, context);
  for (const name of names) {
    releaseLease(book, name, cause as ReleaseCause, 'no worker finished it within its lease');
  }
  book.flush();
  return null;
};
