/**
 * What workers and the leader say to each other: one call, `idunno.work`.
 *
 * A worker always has one such call open. It reports the tasks it has finished, the leases it
 * holds and how many more it wants; the leader answers when it has something to say: what became
 * of the reports, new leases, leases that are no longer its, models to load, or the request to
 * give back what has not been started. When the worker has news, it calls again, and the older
 * call is answered empty. So one round trip reports finished tasks and brings the next.
 *
 * Reports travel on into the log as they are: one `idunno.work` command carries the reports of
 * several workers. Everything here is idempotent: a report that is repeated, to the same leader
 * or another, changes nothing more.
 *
 * All values are arrays of msgpack-safe parts; readers refuse with BAD_ARGUMENT.
 */
import type { Wire } from '../net/index.js';
import type { FileRef } from '../sdfs/index.js';
import { badArgument, parseCount, parseOneOf, parseText } from '../store/index.js';
import {
  BATCH_MAX,
  INLINE_TASK_BYTES_MAX,
  NAMED_FAILURES_MAX,
  REASON_CHARS_MAX,
  WORKER_TASKS_MAX,
} from './limits.js';
import type { ModelFile, WorkerState } from './tables.js';
import {
  readBytes,
  readHash,
  readJobId,
  readList,
  readModelName,
  readReason,
  readTuple,
} from './wire.js';

/** The call that workers keep open, and the notice that a new leader sends them: [term]. */
export const WORK_METHOD = 'idunno.work';
export const LEADER_NOTICE = 'idunno.leader';

/** One attempt at a task. */
export interface LeaseName {
  readonly job: number;
  readonly from: number;
  readonly attempt: number;
}

/** A finished task: every query of the range has one JSON line, be it a result or an error. */
export interface DoneReport extends LeaseName {
  readonly gen: number;
  /** Processing time, µs. */
  readonly micros: number;
  /** SHA-256 and length of the JSON lines. */
  readonly hash: string;
  readonly bytes: number;
  /** The lines themselves when they are few, else the SDFS file that holds just them. */
  readonly output: Uint8Array | FileRef;
  /** Queries that ended in an error; the first of them with their reasons. */
  readonly failed: number;
  readonly named: readonly (readonly [query: number, reason: string])[];
}

/**
 * A task that could not be finished. `host`: its model host died or hung over it. `input`: its
 * inputs cannot be read at the moment.
 */
export interface FailReport extends LeaseName {
  readonly kind: 'host' | 'input';
  readonly reason: string;
  /** The result line for it, should this be a single query and the last straw. */
  readonly line: Uint8Array;
}

export interface ModelReport {
  readonly name: string;
  readonly revision: number;
  readonly state: WorkerState;
  readonly error: string | null;
}

export interface HeldLease extends LeaseName {
  readonly isStarted: boolean;
}

export interface Report {
  readonly node: string;
  readonly epoch: number;
  /** Counts the reports of this boot: a lower number than the last seen is late news. */
  readonly seq: number;
  readonly held: readonly HeldLease[];
  readonly done: readonly DoneReport[];
  readonly failed: readonly FailReport[];
  /** Given back before they were started. */
  readonly returned: readonly LeaseName[];
  /** Further tasks it would take. */
  readonly want: number;
  /** What changed about its models. */
  readonly models: readonly ModelReport[];
  /** Fingerprint of the list of models it knows; see Answer.catalog. */
  readonly catalog: string;
}

/**
 * What became of a finished task. `already`: another attempt was first. `stale`: the range was
 * split or cut anew. `gone`: the job is over. `busy`: keep it and report it again later.
 */
export type Verdict = 'accepted' | 'already' | 'stale' | 'gone' | 'busy';
const VERDICTS: readonly Verdict[] = ['accepted', 'already', 'stale', 'gone', 'busy'];

export interface Ack extends LeaseName {
  readonly verdict: Verdict;
}

/** A lease with all that a worker must know to do it. */
export interface Grant extends LeaseName {
  readonly to: number;
  readonly gen: number;
  readonly model: string;
  readonly revision: number;
  readonly manifest: string;
  readonly manifestVersion: number;
  /** Items of the job: query q asks for item q mod items. */
  readonly items: number;
}

/** What the command decides for one report. */
export interface Decision {
  readonly acks: readonly Ack[];
  readonly grants: readonly Grant[];
}

/** A model that a worker should have: loaded and warm, or only its files. */
export interface CatalogEntry {
  readonly name: string;
  readonly revision: number;
  readonly isAssigned: boolean;
  /** When: see AssignmentRow.given; 0 where it is not assigned. */
  readonly given: number;
  readonly files: readonly ModelFile[];
}

/** What the leader answers to one report. */
export interface Answer extends Decision {
  /** False: the report was overtaken by a newer one, and what it brought was not taken in. */
  readonly isTaken: boolean;
  /** Leases it reported as held that are not its any more. */
  readonly dropped: readonly LeaseName[];
  /** Give back every lease that has not been started: others should be served first. */
  readonly recall: boolean;
  /** All models it should have, when that differs from what it knows; with its fingerprint. */
  readonly catalog: { readonly mark: string; readonly entries: readonly CatalogEntry[] } | null;
}

export const NO_DECISION: Decision = { acks: [], grants: [] };

export function writeReport(report: Report): Wire {
  const { node, epoch, seq, held, done, failed, returned, want, models, catalog } = report;
  return [
    node,
    epoch,
    seq,
    held.map((lease) => [...writeLease(lease), lease.isStarted]),
    done.map(writeDone),
    failed.map((task) => [...writeLease(task), task.kind, task.reason, task.line]),
    returned.map(writeLease),
    want,
    models.map((model) => [model.name, model.revision, model.state, model.error]),
    catalog,
  ];
}

export function readReport(wire: Wire | undefined): Report {
  const parts = readTuple(wire, 'a report', 10);
  return {
    node: parseText(parts[0], 'the node of a report', 64),
    epoch: parseCount(parts[1], 'the epoch of a report'),
    seq: parseCount(parts[2], 'the number of a report'),
    held: readList(parts[3], 'held leases', WORKER_TASKS_MAX, readHeld),
    done: readList(parts[4], 'finished tasks', WORKER_TASKS_MAX, readDone),
    failed: readList(parts[5], 'failed tasks', WORKER_TASKS_MAX, readFailed),
    returned: readList(parts[6], 'returned leases', WORKER_TASKS_MAX, readLease),
    want: parseCount(parts[7], 'wanted tasks', WORKER_TASKS_MAX),
    models: readList(parts[8], 'states of models', 256, readModelState),
    catalog: readReason(parts[9], 'the mark of a catalogue', 64),
  };
}

export function writeDecision(decision: Decision): Wire {
  return [
    decision.acks.map((ack) => [...writeLease(ack), ack.verdict]),
    decision.grants.map(writeGrant),
  ];
}

export function readDecision(wire: Wire | undefined): Decision {
  const [acks, grants] = readTuple(wire, 'a decision', 2);
  return {
    acks: readList(acks, 'acknowledgements', 2 * WORKER_TASKS_MAX, readAck),
    grants: readList(grants, 'leases', 2 * WORKER_TASKS_MAX, readGrant),
  };
}

export function writeAnswer(answer: Answer): Wire {
  const { catalog } = answer;
  return [
    writeDecision(answer),
    answer.dropped.map(writeLease),
    answer.recall,
    catalog === null ? null : [catalog.mark, catalog.entries.map(writeEntry)],
    answer.isTaken,
  ];
}

export function readAnswer(wire: Wire | undefined): Answer {
  const [decision, dropped, recall, catalog, isTaken] = readTuple(wire, 'an answer', 5);
  return {
    ...readDecision(decision),
    dropped: readList(dropped, 'dropped leases', 2 * WORKER_TASKS_MAX, readLease),
    recall: recall === true,
    isTaken: isTaken === true,
    catalog: catalog === null || catalog === undefined ? null : readCatalog(catalog),
  };
}

export function writeLease(lease: LeaseName): Wire[] {
  return [lease.job, lease.from, lease.attempt];
}

export function readLease(wire: Wire | undefined): LeaseName {
  const [job, from, attempt] = readTuple(wire, 'a lease', 3);
  return {
    job: readJobId(job),
    from: parseCount(from, 'the start of a task'),
    attempt: parseCount(attempt, 'the attempt at a task'),
  };
}

function readHeld(wire: Wire | undefined): HeldLease {
  return { ...readLease(wire), isStarted: readTuple(wire, 'a held lease', 4)[3] === true };
}

function writeDone(done: DoneReport): Wire {
  const { output } = done;
  return [
    ...writeLease(done),
    done.gen,
    done.micros,
    done.hash,
    done.bytes,
    output instanceof Uint8Array ? output : [output.name, output.version],
    done.failed,
    done.named.map(([query, reason]) => [query, reason]),
  ];
}

function readDone(wire: Wire | undefined): DoneReport {
  const parts = readTuple(wire, 'a finished task', 10);
  const bytes = parseCount(parts[6], 'the bytes of a result');
  return {
    ...readLease(wire),
    gen: parseCount(parts[3], 'the generation of a task'),
    micros: parseCount(parts[4], 'a processing time'),
    hash: readHash(parts[5], 'the hash of a result'),
    bytes,
    output: readOutput(parts[7], bytes),
    failed: parseCount(parts[8], 'failed queries', BATCH_MAX),
    named: readList(parts[9], 'failed queries', NAMED_FAILURES_MAX, readNamed),
  };
}

function readOutput(wire: Wire | undefined, bytes: number): Uint8Array | FileRef {
  if (!(wire instanceof Uint8Array)) {
    const [name, version] = readTuple(wire, 'a result file', 2);
    return {
      name: parseText(name, 'the name of a result file', 1024),
      version: parseCount(version, 'the version of a result file'),
    };
  }
  const lines = readBytes(wire, 'a result', INLINE_TASK_BYTES_MAX);
  if (lines.length !== bytes) throw badArgument(`a result of ${lines.length} bytes, not ${bytes}`);
  return lines;
}

function readNamed(wire: Wire | undefined): readonly [number, string] {
  const [query, reason] = readTuple(wire, 'a failed query', 2);
  return [parseCount(query, 'a query'), readReason(reason, 'a reason', REASON_CHARS_MAX)];
}

function readFailed(wire: Wire | undefined): FailReport {
  const parts = readTuple(wire, 'a failed task', 6);
  return {
    ...readLease(wire),
    kind: parseOneOf(parts[3], 'the kind of a failure', ['host', 'input']),
    reason: readReason(parts[4], 'a reason', REASON_CHARS_MAX),
    line: readBytes(parts[5], 'the line of a failed query', INLINE_TASK_BYTES_MAX),
  };
}

const WORKER_STATES: readonly WorkerState[] = ['assigned', 'fetched', 'loading', 'warm', 'failed'];

function readModelState(wire: Wire | undefined): ModelReport {
  const [name, revision, state, error] = readTuple(wire, 'the state of a model', 4);
  return {
    name: readModelName(name),
    revision: parseCount(revision, 'the revision of a model'),
    state: parseOneOf(state, 'the state of a model', WORKER_STATES),
    error:
      error === null || error === undefined
        ? null
        : readReason(error, 'a reason', REASON_CHARS_MAX),
  };
}

function readAck(wire: Wire | undefined): Ack {
  const verdict = parseOneOf(readTuple(wire, 'an answer', 4)[3], 'a verdict', VERDICTS);
  return { ...readLease(wire), verdict };
}

function writeGrant(grant: Grant): Wire {
  return [
    ...writeLease(grant),
    grant.to,
    grant.gen,
    grant.model,
    grant.revision,
    grant.manifest,
    grant.manifestVersion,
    grant.items,
  ];
}

function readGrant(wire: Wire | undefined): Grant {
  const parts = readTuple(wire, 'a lease', 10);
  return {
    ...readLease(wire),
    to: parseCount(parts[3], 'the end of a task'),
    gen: parseCount(parts[4], 'the generation of a task'),
    model: readModelName(parts[5]),
    revision: parseCount(parts[6], 'the revision of a model'),
    manifest: parseText(parts[7], 'the name of an input list', 1024),
    manifestVersion: parseCount(parts[8], 'the version of an input list'),
    items: parseCount(parts[9], 'the items of a job'),
  };
}

function writeEntry(entry: CatalogEntry): Wire {
  const files = entry.files.map(({ name, version, bytes }) => [name, version, bytes]);
  return [entry.name, entry.revision, entry.isAssigned, files, entry.given];
}

function readCatalog(wire: Wire): { mark: string; entries: CatalogEntry[] } {
  const [mark, entries] = readTuple(wire, 'a catalogue', 2);
  return {
    mark: readReason(mark, 'the mark of a catalogue', 64),
    entries: readList(entries, 'a catalogue', 1000, (each) => {
      const [name, revision, isAssigned, files, given] = readTuple(each, 'a model', 5);
      return {
        name: readModelName(name),
        revision: parseCount(revision, 'the revision of a model'),
        isAssigned: isAssigned === true,
        given: parseCount(given, 'when a model was given'),
        files: readList(files, 'files of a model', 64, readModelFile),
      };
    }),
  };
}

export function readModelFile(wire: Wire | undefined): ModelFile {
  const [name, version, bytes] = readTuple(wire, 'a file of a model', 3);
  return {
    name: parseText(name, 'the name of a file', 1024),
    version: parseCount(version, 'the version of a file'),
    bytes: parseCount(bytes, 'the bytes of a file'),
  };
}
