/**
 * The state machine of the simulation: a few registers, and a digest over everything applied, so
 * that two machines at the same index can be compared at once. Its snapshot is its state.
 */
import { assert, type LogIndex, type Term } from '../base/index.js';
import type { Entry } from '../raft/index.js';

export interface Register {
  readonly value: number;
  /** Log index of the write: the position of the value in the history. */
  readonly index: LogIndex;
}

export interface MachineImage {
  readonly index: LogIndex;
  readonly term: Term;
  readonly digest: number;
  readonly registers: ReadonlyMap<number, Register>;
}

export const EMPTY_IMAGE: MachineImage = { index: 0, term: 0, digest: 0, registers: new Map() };

/** `value` is unique over the whole run, so a value names its write. */
export interface Write {
  readonly register: number;
  readonly value: number;
}

export function encodeWrite({ register, value }: Write): Uint8Array {
  return Uint8Array.of(register, value & 255, (value >>> 8) & 255, (value >>> 16) & 255);
}

export function decodeWrite(data: Uint8Array): Write {
  const [register = 0, low = 0, middle = 0, high = 0] = data;
  return { register, value: low | (middle << 8) | (high << 16) };
}

/** Digest of a history that is `digest` so far and goes on with `entry`. */
export function extendDigest(digest: number, entry: Entry): number {
  let mixed = Math.imul(digest ^ entry.index, 0x9e3779b1) ^ entry.term;
  mixed = Math.imul(mixed ^ (entry.timeMs % 2 ** 32), 0x85ebca6b);
  for (const byte of entry.data) mixed = Math.imul(mixed ^ byte, 0x01000193);
  return mixed >>> 0;
}

export class RegisterMachine {
  #index: LogIndex;
  #term: Term;
  #digest: number;
  readonly #registers: Map<number, Register>;

  constructor(image: MachineImage) {
    this.#index = image.index;
    this.#term = image.term;
    this.#digest = image.digest;
    this.#registers = new Map(image.registers);
  }

  get index(): LogIndex {
    return this.#index;
  }

  get digest(): number {
    return this.#digest;
  }

  apply(entry: Entry): void {
    assert(entry.index === this.#index + 1, `applied ${entry.index} after ${this.#index}`);
    this.#index = entry.index;
    this.#term = entry.term;
    this.#digest = extendDigest(this.#digest, entry);
    if (entry.kind !== 'command') return;
    const { register, value } = decodeWrite(entry.data);
    this.#registers.set(register, { value, index: entry.index });
  }

  read(register: number): Register {
    return this.#registers.get(register) ?? { value: 0, index: 0 };
  }

  image(): MachineImage {
    return {
      index: this.#index,
      term: this.#term,
      digest: this.#digest,
      registers: new Map(this.#registers),
    };
  }
}
