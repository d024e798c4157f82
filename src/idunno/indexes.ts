/**
 * What this module keeps in memory beside the rows, derived from them: live jobs, leases by node
 * and by job, ready ranges in order, assignments by model and by node. Rebuilt at start and after a
 * snapshot, then told of every change after each command. Inside a command they show the rows as
 * they were before it; whoever acts on them reads the row itself first.
 *
 * Bounds: jobs by LIVE_JOBS_MAX and those still to be tidied up, leases by workers × tasks
 * of a worker, ready ranges by leases and splits, assignments by workers × models.
 */
import {
  type Change,
  type DerivedIndex,
  type DerivedIndexKey,
  NODES,
  type NodeRow,
} from '../store/index.js';
import {
  type AssignmentRow,
  assignments,
  type CopyRow,
  copies,
  isFinal,
  type JobRow,
  jobs,
  type LeaseRow,
  leases,
  type ModelRow,
  models,
  type ReadyRow,
  type RevisionRow,
  ready,
  revisions,
} from './tables.js';

/** Jobs by id, oldest first: those not final, and those that still have something to tidy up. */
export type JobIndex = Map<number, JobRow>;

export interface LeaseIndex {
  readonly byNode: Map<string, Map<string, LeaseRow>>;
  readonly byJob: Map<number, Map<string, LeaseRow>>;
}

/** Starts of ready ranges by job, ascending. */
export type ReadyIndex = Map<number, number[]>;

export interface ModelIndex {
  readonly models: Map<string, ModelRow>;
  /** By modelKey. */
  readonly revisions: Map<string, RevisionRow>;
}

/** Workers with the files of a revision on their disks, by modelKey, then node. */
export type CopyIndex = Map<string, Map<string, CopyRow>>;

export interface AssignmentIndex {
  /** By modelKey, then node. */
  readonly byModel: Map<string, Map<string, AssignmentRow>>;
  /** By node, then modelKey. */
  readonly byNode: Map<string, Map<string, AssignmentRow>>;
}

/** What Raft has decided about each node. */
export type NodeIndex = Map<string, NodeRow>;

export const NODES_INDEX: DerivedIndexKey<NodeIndex> = { name: 'idunno.nodes' };
export const JOBS_INDEX: DerivedIndexKey<JobIndex> = { name: 'idunno.jobs' };
export const LEASES_INDEX: DerivedIndexKey<LeaseIndex> = { name: 'idunno.leases' };
export const READY_INDEX: DerivedIndexKey<ReadyIndex> = { name: 'idunno.ready' };
export const MODELS_INDEX: DerivedIndexKey<ModelIndex> = { name: 'idunno.models' };
export const COPIES_INDEX: DerivedIndexKey<CopyIndex> = { name: 'idunno.copies' };
export const ASSIGNMENTS_INDEX: DerivedIndexKey<AssignmentIndex> = { name: 'idunno.assignments' };

/** One string for a model at a revision; names cannot hold the `@`. */
export function modelKey(name: string, revision: number): string {
  return `${name}@${revision}`;
}

/** One string for an attempt at a task. */
export function leaseKey(lease: Pick<LeaseRow, 'job' | 'from' | 'attempt'>): string {
  return `${lease.job}/${lease.from}/${lease.attempt}`;
}

const jobIndex: DerivedIndex<JobIndex> = {
  key: JOBS_INDEX,
  tables: [jobs],
  create: () => new Map(),
  onChange(index, change) {
    const id = change.key[0] as number;
    const row = change.after as JobRow | undefined;
    if (row === undefined || isTidy(row)) index.delete(id);
    else index.set(id, row);
  },
};

const leaseIndex: DerivedIndex<LeaseIndex> = {
  key: LEASES_INDEX,
  tables: [leases],
  create: () => ({ byNode: new Map(), byJob: new Map() }),
  onChange(index, change) {
    eachRow<LeaseRow>(change, (row, isAdded) => {
      file(index.byNode, row.node, leaseKey(row), isAdded ? row : undefined);
      file(index.byJob, row.job, leaseKey(row), isAdded ? row : undefined);
    });
  },
};

const readyIndex: DerivedIndex<ReadyIndex> = {
  key: READY_INDEX,
  tables: [ready],
  create: () => new Map(),
  onChange(index, change) {
    if (change.before !== undefined && change.after !== undefined) return;
    eachRow<ReadyRow>(change, (row, isAdded) => {
      const starts = index.get(row.job) ?? [];
      const at = positionOf(starts, row.from);
      if (isAdded) starts.splice(at, 0, row.from);
      else if (starts[at] === row.from) starts.splice(at, 1);
      if (starts.length === 0) index.delete(row.job);
      else index.set(row.job, starts);
    });
  },
};

const modelIndex: DerivedIndex<ModelIndex> = {
  key: MODELS_INDEX,
  tables: [models, revisions],
  create: () => ({ models: new Map(), revisions: new Map() }),
  onChange(index, change) {
    const name = change.key[0] as string;
    if (change.table.bucket === models.bucket) {
      set(index.models, name, change.after as ModelRow | undefined);
    } else {
      const key = modelKey(name, change.key[1] as number);
      set(index.revisions, key, change.after as RevisionRow | undefined);
    }
  },
};

const assignmentIndex: DerivedIndex<AssignmentIndex> = {
  key: ASSIGNMENTS_INDEX,
  tables: [assignments],
  create: () => ({ byModel: new Map(), byNode: new Map() }),
  onChange(index, change) {
    eachRow<AssignmentRow>(change, (row, isAdded) => {
      const key = modelKey(row.name, row.revision);
      file(index.byModel, key, row.node, isAdded ? row : undefined);
      file(index.byNode, row.node, key, isAdded ? row : undefined);
    });
  },
};

const copyIndex: DerivedIndex<CopyIndex> = {
  key: COPIES_INDEX,
  tables: [copies],
  create: () => new Map(),
  onChange(index, change) {
    eachRow<CopyRow>(change, (row, isAdded) => {
      file(index, modelKey(row.name, row.revision), row.node, isAdded ? row : undefined);
    });
  },
};

const nodeIndex: DerivedIndex<NodeIndex> = {
  key: NODES_INDEX,
  tables: [NODES],
  create: () => new Map(),
  onChange(index, change) {
    set(index, change.key[0] as string, change.after as NodeRow | undefined);
  },
};

export const ALL_INDEXES: readonly DerivedIndex<unknown>[] = [
  nodeIndex,
  jobIndex,
  leaseIndex,
  readyIndex,
  modelIndex,
  assignmentIndex,
  copyIndex,
];

/** Over, its results compacted, its leases and ready ranges swept: nobody needs it at hand. */
function isTidy(job: JobRow): boolean {
  return isFinal(job.state) && job.inlineTasks === 0 && job.leases === 0 && job.ready === 0;
}

/** The row that went, then the row that came. */
function eachRow<Row>(change: Change, use: (row: Row, isAdded: boolean) => void): void {
  if (change.before !== undefined) use(change.before as Row, false);
  if (change.after !== undefined) use(change.after as Row, true);
}

function set<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

/** Sets or deletes in a map of maps, without leaving empty ones behind. */
function file<K, L, V>(maps: Map<K, Map<L, V>>, outer: K, inner: L, value: V | undefined): void {
  const map = maps.get(outer) ?? new Map<L, V>();
  set(map, inner, value);
  set(maps, outer, map.size === 0 ? undefined : map);
}

/** First position whose value is not less. */
function positionOf(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
