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
import { badArgument, type Command, parseCount, parseText } from '../store/index.js';
import { Book } from './book.js';
import { modelKey } from './indexes.js';
import { ASSIGN_ROWS_MAX, MODEL_FILES_MAX, REASON_CHARS_MAX, SWEEP_LEASES_MAX } from './limits.js';
import { readLease, readModelFile } from './protocol.js';
import { isFinal, models, type RevisionRow, revisions } from './tables.js';
import { RELEASES, type ReleaseCause, releaseLease } from './task-machine.js';
import { readList, readModelName, readReason, readTuple } from './wire.js';

/** `idunno.model.deploy` [name, description, files] → revision. Files: [[name, version, bytes]]. */
export const deployModel: Command = (tx, args, context) => {
  const name = readModelName(args[0]);
  const description = readReason(args[1] ?? '', 'a description', REASON_CHARS_MAX);
  const files = readList(args[2], 'files of a model', MODEL_FILES_MAX, readModelFile);
  if (files.length === 0) throw badArgument(`model ${name} without files`);
  const before = tx.get(models, [name]);
  const revision = (before?.newest ?? 0) + 1;
  const row: RevisionRow = {
    name,
    revision,
    state: 'Undeployed',
    description,
    files,
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
  });
  return revision;
};

/** `idunno.model.undeploy` [name] → revision that served. Refused while jobs use the model. */
export const undeployModel: Command = (tx, args, context) => {
  const name = readModelName(args[0]);
  const book = new Book(tx, context);
  const model = tx.get(models, [name]);
  if (model === undefined) throw modelNotFound(name);
  for (const job of book.allJobs()) {
    if (job.model !== name || isFinal(job.state)) continue;
    throw new IdunnoError(
      'CONFLICT',
      `cannot undeploy ${name}: job ${job.id} is ${job.state}; cancel it or let it finish first`,
      { job: job.id },
    );
  }
  for (const revision of new Set([model.serving, model.deploying])) {
    const row = revision === 0 ? undefined : tx.get(revisions, [name, revision]);
    if (row !== undefined) tx.put(revisions, [name, revision], { ...row, state: 'Undeployed' });
  }
  tx.put(models, [name], { ...model, serving: 0, deploying: 0 });
  return model.serving;
};

export function modelNotFound(name: string): IdunnoError {
  return new IdunnoError(
    'MODEL_NOT_FOUND',
    `there is no model "${name}": deploy its folder first, or see the list of models`,
    { model: name },
  );
}

/**
 * `idunno.model.assign` [add, remove] → null. add: [[name, revision, node, epoch]], remove:
 * [[name, revision, node]]. Proposed by the leader; adding what is there already changes nothing.
 */
export const assignModels: Command = (tx, args, context) => {
  const book = new Book(tx, context);
  const touched = new Map<string, [string, number]>();
  readList(args[1], 'assignments', ASSIGN_ROWS_MAX, (wire) => {
    const [name, revision, node] = readTuple(wire, 'an assignment', 3);
    const of = [readModelName(name), parseCount(revision, 'a revision')] as const;
    const row = book.assignmentsOf(...of).get(parseText(node, 'a node', 64));
    if (row !== undefined) book.deleteAssignment(row);
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
    book.setAssignment({ ...row, state: 'assigned', error: null });
    touched.set(modelKey(row.name, row.revision), [row.name, row.revision]);
  });
  for (const of of touched.values()) settleRevision(book, ...of);
  book.flush();
  return null;
};

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
