/**
 * What a worker needs of the thing that runs models. model-host-pool.ts is the real one: a process
 * for each model. The simulator and tests bring their own.
 */

/** A loaded model's files, all in one folder of this machine. */
export interface EngineModel {
  readonly name: string;
  readonly revision: number;
  readonly dir: string;
}

/** One query of a task: the bytes of its input, or why there are none. */
export interface EngineItem {
  readonly query: number;
  readonly item: number;
  readonly repetition: number;
  readonly input: string;
  readonly version: number;
  readonly bytes: Uint8Array | undefined;
  readonly error: string | undefined;
}

/** JSON lines, one for each query in the order asked, and which of them are errors. */
export interface ChunkResult {
  readonly lines: Uint8Array;
  readonly failed: number;
  /** The first of them, with reasons. */
  readonly named: readonly (readonly [query: number, reason: string])[];
}

/** A place to run one task; given back by `release`. */
export interface Seat {
  /** Calls may overlap: they are computed in order. Throws MODEL_CRASHED. */
  infer(items: readonly EngineItem[]): Promise<ChunkResult>;
  release(): void;
}

/** `loading` again after a crash, until the model is warm once more. */
export type EngineState = 'loading' | 'warm' | 'failed';

export type EngineListener = (
  model: EngineModel,
  state: EngineState,
  error: string | undefined,
) => void;

export interface Engine {
  /** Starts loading and warming up; what becomes of it is told to the listener. */
  load(model: EngineModel): void;
  /** Ends the model's processes at once. Nothing happens when it is not loaded. */
  unload(name: string, revision: number): void;
  /** A free seat of a warm model, if there is one. */
  acquire(name: string, revision: number): Seat | undefined;
  /** Set once, before the first load. */
  onState(listener: EngineListener): void;
  stop(): Promise<void>;
}

/**
 * Threads for one run: the machine's cores shared by all that run on it. More threads than cores
 * cost throughput (onnxruntime #22967).
 */
export function intraOpThreads(cores: number, slots: number, nodesOnMachine: number): number {
  return Math.max(1, Math.floor(cores / Math.max(1, slots * nodesOnMachine)));
}
