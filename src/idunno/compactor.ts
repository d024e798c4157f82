/**
 * Moves results out of the tables into SDFS, while jobs run: the leader's duty.
 *
 * Finished tasks leave their JSON lines in the results table. When a job has many of them there, or
 * is over, their lines are put into one file, `results/JOB/segment-….jsonl`, in the order of the
 * queries; then a command records for each task where its lines lie and drops them from the table.
 * A crash between the two leaves a file that no row names: the next leader puts a new version of
 * the same name and names that one.
 *
 * One job at a time, one segment at a time: SEGMENT_BYTES_MAX is all that is held in memory.
 */
import { asIdunnoError, assert, type Clock, type Logger } from '../base/index.js';
import type { SdfsClient } from '../sdfs/index.js';
import type { LeaderDuty, LocalStore } from '../store/index.js';
import { JOBS_INDEX } from './indexes.js';
import { COMPACT_TASKS_MAX, INLINE_GRANT_BYTES_MAX } from './limits.js';
import { isFinal, type JobRow, jobs, results } from './tables.js';

export interface CompactorDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly local: LocalStore;
  readonly sdfs: Pick<SdfsClient, 'put'>;
}

/** A running job is compacted when this much has gathered; less is not worth a file. */
const JOB_BYTES_MIN = 1024 * 1024;
const SEGMENT_BYTES_MAX = 4 * 1024 * 1024;
const SEGMENT_TASKS_MAX = 5_000;
const PUT_TIMEOUT_MS = 60_000;
const PROPOSE_TIMEOUT_MS = 5_000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;

interface Piece {
  readonly from: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The duty, to be registered on every coordinator. */
export function createCompactor(deps: CompactorDeps): LeaderDuty {
  let current: Compactor | undefined;
  deps.local.onChanges((changes) => {
    if (changes.some((change) => change.table.bucket === jobs.bucket)) current?.look();
  });
  return {
    name: 'idunno-results',
    lead: (_term, signal) => {
      const compactor = new Compactor(deps, signal);
      current = compactor;
      compactor.look();
    },
  };
}

/** One term's work. */
class Compactor {
  readonly #deps: CompactorDeps;
  readonly #signal: AbortSignal;
  #isBusy = false;

  constructor(deps: CompactorDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /** A job has changed: starts, unless it is at it already. */
  look(): void {
    if (this.#isBusy || this.#signal.aborted) return;
    if (pickJob(this.#deps.local) === undefined) return;
    this.#isBusy = true;
    void this.#run().finally(() => {
      this.#isBusy = false;
    });
  }

  async #run(): Promise<void> {
    let pauseMs = RETRY_MIN_MS;
    for (;;) {
      const job = pickJob(this.#deps.local);
      if (job === undefined || this.#signal.aborted) return;
      try {
        await compact(this.#deps, job, this.#signal);
        pauseMs = RETRY_MIN_MS;
      } catch (error) {
        if (this.#signal.aborted) return;
        const { code, message } = asIdunnoError(error);
        this.#deps.log.warn('idunno.compact.failed', { job: job.id, code, message, pauseMs });
        await this.#deps.clock.sleep(pauseMs, this.#signal).catch(() => undefined);
        pauseMs = Math.min(RETRY_MAX_MS, pauseMs * 2);
      }
    }
  }
}

/** A job that is over, else the one with most bytes if that is much, or if all together are. */
function pickJob(local: LocalStore): JobRow | undefined {
  let total = 0;
  let most: JobRow | undefined;
  for (const job of local.view().index(JOBS_INDEX).values()) {
    if (job.inlineTasks === 0) continue;
    if (isFinal(job.state)) return job;
    total += job.inlineBytes;
    if (most === undefined || job.inlineBytes > most.inlineBytes) most = job;
  }
  if (most === undefined) return undefined;
  const isMuch =
    most.inlineBytes >= JOB_BYTES_MIN ||
    most.inlineTasks >= SEGMENT_TASKS_MAX ||
    total >= INLINE_GRANT_BYTES_MAX / 2;
  return isMuch ? most : undefined;
}

async function compact(deps: CompactorDeps, job: JobRow, signal: AbortSignal): Promise<void> {
  const pieces = await gather(deps.local, job.id);
  assert(pieces.length > 0, `job ${job.id} counts ${job.inlineTasks} results in the tables`);
  const bytes = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
  const number = String(job.segments + 1).padStart(6, '0');
  const source = {
    name: `results/${job.id}/segment-${number}.jsonl`,
    bytes,
    async *open() {
      for (const piece of pieces) yield piece.bytes;
    },
  };
  const file = await deps.sdfs.put(source, { signal, timeoutMs: PUT_TIMEOUT_MS });
  let segment = 0;
  for (let at = 0; at < pieces.length; at += COMPACT_TASKS_MAX) {
    const places = pieces
      .slice(at, at + COMPACT_TASKS_MAX)
      .map((piece) => [piece.from, piece.offset, piece.bytes.length]);
    const args = [job.id, segment, file.name, file.version, bytes, places];
    const options = { timeoutMs: PROPOSE_TIMEOUT_MS, signal };
    segment = Number(await deps.local.propose('idunno.results.compacted', args, options));
  }
  deps.log.info('idunno.compacted', { job: job.id, tasks: pieces.length, bytes, file: file.name });
}

/** Lines from the table, in query order, up to the bounds of a segment. */
async function gather(local: LocalStore, job: number): Promise<Piece[]> {
  const pieces: Piece[] = [];
  let offset = 0;
  const range = { prefix: [job], limit: SEGMENT_TASKS_MAX };
  for await (const [[, from], { bytes }] of local.view().scan(results, range)) {
    pieces.push({ from: from as number, offset, bytes });
    offset += bytes.length;
    if (offset >= SEGMENT_BYTES_MAX) break;
  }
  return pieces;
}
