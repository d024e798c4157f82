/**
 * The models of one worker: follows the leader's catalogue, fetches files, has the engine load what
 * is assigned and unload what is not, and says what has become of each.
 *
 *   assigned ──fetch──▶ fetched ──load──▶ loading ──▶ warm
 *       ▲ retry            (error of a fetch)  └────▶ failed
 *
 * Models that are not assigned here are fetched all the same, after those that are, and not run:
 * should they be assigned later, loading is all that is left to do. A model that is taken away and
 * given again while this worker could not hear of it is still loaded; it says so once more.
 */
import { asIdunnoError, type Clock, type Logger, type Ms } from '../base/index.js';
import type { Engine, EngineModel } from './engine.js';
import { modelKey } from './indexes.js';
import { REASON_CHARS_MAX } from './limits.js';
import type { ModelFiles } from './model-files.js';
import type { CatalogEntry, ModelReport } from './protocol.js';
import type { WorkerState } from './tables.js';

export interface WorkerModelsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly engine: Engine;
  readonly files: ModelFiles;
  /** Something is to be reported. */
  readonly onReport: (report: ModelReport) => void;
  /** A model is warm, or is no more. */
  readonly onReadiness: (name: string, revision: number, isWarm: boolean) => void;
}

const RETRY_MIN_MS: Ms = 200;
const RETRY_MAX_MS: Ms = 10_000;

export class WorkerModels {
  readonly #deps: WorkerModelsDeps;
  readonly #abort = new AbortController();
  #entries: readonly CatalogEntry[] = [];
  readonly #fetched = new Set<string>();
  readonly #loaded = new Map<string, EngineModel>();
  /** Of loaded models: for which assignment its state was told, and what that is. */
  readonly #told = new Map<
    string,
    { given: number; state: WorkerState; error: string | undefined }
  >();
  #isFetching = false;
  #failures = 0;

  constructor(deps: WorkerModelsDeps) {
    this.#deps = deps;
    deps.engine.onState((model, state, error) => {
      if (!this.#loaded.has(modelKey(model.name, model.revision))) return;
      this.#tell(model.name, model.revision, state, error);
      deps.onReadiness(model.name, model.revision, state === 'warm');
    });
  }

  /** The leader's newest list; whole, never a difference. */
  follow(entries: readonly CatalogEntry[]): void {
    this.#entries = entries;
    const assigned = new Set(
      entries.filter((each) => each.isAssigned).map((each) => modelKey(each.name, each.revision)),
    );
    for (const [key, { name, revision }] of [...this.#loaded]) {
      if (assigned.has(key)) continue;
      this.#loaded.delete(key);
      this.#told.delete(key);
      this.#deps.engine.unload(name, revision);
      this.#deps.onReadiness(name, revision, false);
    }
    for (const { name, revision, given } of entries) {
      const told = this.#told.get(modelKey(name, revision));
      if (told !== undefined && told.given !== given) {
        this.#tell(name, revision, told.state, told.error);
      }
    }
    void this.#work();
  }

  stop(): void {
    this.#abort.abort();
  }

  /** Brings disk and engine up to the list; one model at a time, assigned ones first. */
  async #work(): Promise<void> {
    if (this.#isFetching) return;
    this.#isFetching = true;
    let entry = this.#next();
    while (entry !== undefined && !this.#abort.signal.aborted) {
      await this.#advance(entry);
      entry = this.#next();
      if (entry !== undefined) continue;
      await this.#removeOthers();
      entry = this.#next();
    }
    this.#isFetching = false;
  }

  /** Folders of models that are not in the list; nothing is fetched meanwhile. */
  async #removeOthers(): Promise<void> {
    const keys = new Set(this.#entries.map(({ name, revision }) => modelKey(name, revision)));
    for (const key of this.#fetched) if (!keys.has(key)) this.#fetched.delete(key);
    await this.#deps.files.keepOnly(keys).catch((error: unknown) => {
      this.#deps.log.warn('idunno.model.tidy-failed', { message: asIdunnoError(error).message });
    });
  }

  #next(): CatalogEntry | undefined {
    const isOpen = (entry: CatalogEntry): boolean => {
      const key = modelKey(entry.name, entry.revision);
      return !this.#fetched.has(key) || (entry.isAssigned && !this.#loaded.has(key));
    };
    const open = this.#entries.filter(isOpen);
    return open.find((entry) => entry.isAssigned) ?? open[0];
  }

  async #advance(entry: CatalogEntry): Promise<void> {
    const { name, revision } = entry;
    const key = modelKey(name, revision);
    if (!this.#fetched.has(key)) {
      try {
        await this.#deps.files.fetch(entry, this.#abort.signal);
      } catch (error) {
        await this.#onFetchFailure(entry, error);
        return;
      }
      this.#failures = 0;
      this.#fetched.add(key);
      if (!this.#isAssigned(name, revision)) this.#report(name, revision, 'fetched', undefined);
    }
    // The list may have changed meanwhile.
    if (!this.#isAssigned(name, revision) || this.#loaded.has(key)) return;
    const model = { name, revision, dir: this.#deps.files.folderOf(name, revision) };
    this.#loaded.set(key, model);
    this.#tell(name, revision, 'fetched', undefined);
    this.#deps.engine.load(model);
  }

  #isAssigned(name: string, revision: number): boolean {
    return this.#find(name, revision)?.isAssigned === true;
  }

  #find(name: string, revision: number): CatalogEntry | undefined {
    return this.#entries.find((each) => each.name === name && each.revision === revision);
  }

  /** Of a loaded model: remembered, to be said again should it be given anew. */
  #tell(name: string, revision: number, state: WorkerState, error: string | undefined): void {
    const given = this.#find(name, revision)?.given ?? 0;
    this.#told.set(modelKey(name, revision), { given, state, error });
    this.#report(name, revision, state, error);
  }

  async #onFetchFailure(entry: CatalogEntry, error: unknown): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const { code, message } = asIdunnoError(error);
    const { name, revision } = entry;
    this.#deps.log.warn('idunno.model.fetch-failed', { model: name, revision, code, message });
    if (entry.isAssigned) this.#report(name, revision, 'assigned', message);
    const pauseMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures);
    this.#failures += 1;
    await this.#deps.clock.sleep(pauseMs, this.#abort.signal).catch(() => undefined);
  }

  #report(name: string, revision: number, state: WorkerState, error: string | undefined): void {
    const text = error === undefined ? null : error.slice(0, REASON_CHARS_MAX);
    this.#deps.onReport({ name, revision, state, error: text });
  }
}
