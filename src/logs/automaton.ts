/**
 * Runs a program over bytes in time that grows with their number only, whatever the pattern: the
 * set of steps the program may be at is one state, and states are made when they are first reached
 * (a lazy deterministic automaton, as in GNU grep and RE2). There is nothing to backtrack.
 *
 * A state is a set of steps, and what kind of byte came before. Assertions look at that byte and at
 * the next, so they are decided when the next byte is read; the end of a line is read as a newline.
 *
 * Memory is bounded: when the table is full all states are forgotten and made anew as they come.
 */
import { emptySet, NEWLINE, type ByteSet, WORD } from './byte-set.js';
import type { Assertion } from './expression.js';
import type { Program } from './program.js';

/** Cells of the table: 8 MiB. */
const CELLS_MAX = 2 * 1024 * 1024;
/** Steps in all states together: 16 MiB. */
const STATE_STEPS_MAX = 4 * 1024 * 1024;

/** What came before: nothing in this line, part of a word, or something else. */
type Before = 'start' | 'word' | 'other';

interface State {
  readonly steps: readonly number[];
  readonly before: Before;
}

/** Rows of the table that are no states. */
const UNKNOWN = 0;
const MATCH = 1;
const DEAD = 2;
const FIRST_STATE = 3;

export class Automaton {
  readonly #program: Program;
  readonly #hasAssertions: boolean;
  /** Bytes that no part of the pattern tells apart are one class. */
  readonly #classOf: Uint8Array;
  readonly #byteOf: readonly number[];
  readonly #width: number;
  readonly #statesMax: number;
  /** Row × width + class → row × width. */
  #table: Int32Array;
  #states: State[] = [];
  #stateSteps = 0;
  readonly #rows = new Map<string, number>();
  /** Marks of the closure in progress, by step. */
  readonly #marks: Int32Array;
  #mark = 0;

  constructor(program: Program) {
    this.#program = program;
    this.#hasAssertions = program.steps.some(({ kind }) => kind === 'assert');
    const { classOf, byteOf } = classesOf(program);
    this.#classOf = classOf;
    this.#byteOf = byteOf;
    this.#width = byteOf.length;
    this.#statesMax = Math.max(16, Math.min(8_192, Math.floor(CELLS_MAX / this.#width)));
    this.#table = new Int32Array(64 * this.#width);
    this.#marks = new Int32Array(program.steps.length);
    this.#reset();
  }

  /**
   * The first byte from `from` on by which some line is known to match, or -1. The byte is in that
   * line or the newline at its end. `from` must begin a line, and `to` end one, behind its newline.
   */
  search(bytes: Uint8Array, from: number, to: number): number {
    const classOf = this.#classOf;
    const width = this.#width;
    const lastSpecial = DEAD * width;
    const start = FIRST_STATE * width;
    let row = start;
    let at = from;
    while (at < to) {
      const table = this.#table;
      let next = 0;
      while (at < to) {
        next = table[row + (classOf[bytes[at] ?? 0] ?? 0)] ?? 0;
        if (next <= lastSpecial) break;
        row = next;
        at += 1;
      }
      if (at >= to) return -1;
      if (next === UNKNOWN) row = this.#learn(row, classOf[bytes[at] ?? 0] ?? 0);
      else if (next === MATCH * width) return at;
      else {
        // Nothing in the rest of this line can match.
        at = bytes.indexOf(NEWLINE, at) + 1;
        if (at === 0) return -1;
        row = start;
      }
    }
    return -1;
  }

  /** Fills in one cell; returns the row to go on from, which is another when the table was reset. */
  #learn(row: number, byteClass: number): number {
    const at = row / this.#width - FIRST_STATE;
    const state = this.#states[at] ?? this.#startState();
    let from = row;
    if (this.#isFull()) {
      this.#reset();
      from = this.#rowOf(state);
    }
    const next = this.#next(state, byteClass);
    const to = typeof next === 'number' ? next * this.#width : this.#rowOf(next);
    this.#table[from + byteClass] = to;
    return from;
  }

  #isFull(): boolean {
    return this.#states.length + 2 >= this.#statesMax || this.#stateSteps > STATE_STEPS_MAX;
  }

  #reset(): void {
    this.#states = [];
    this.#rows.clear();
    this.#stateSteps = 0;
    this.#table.fill(UNKNOWN);
    this.#rowOf(this.#startState());
  }

  #startState(): State {
    this.#mark += 1;
    const steps: number[] = [];
    this.#follow(this.#program.start, steps);
    return { steps: steps.sort(ascending), before: 'start' };
  }

  #rowOf(state: State): number {
    const key = `${state.before}${state.steps.join()}`;
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const row = (FIRST_STATE + this.#states.length) * this.#width;
    this.#states.push(state);
    this.#stateSteps += state.steps.length;
    this.#rows.set(key, row);
    if (row + this.#width > this.#table.length) {
      const larger = new Int32Array(this.#table.length * 2);
      larger.set(this.#table);
      this.#table = larger;
    }
    return row;
  }

  #next(state: State, byteClass: number): State | typeof MATCH | typeof DEAD {
    const byte = this.#byteOf[byteClass] ?? 0;
    const reached = this.#decided(state, byte);
    if (reached === undefined) return MATCH;
    if (byte === NEWLINE) return this.#startState();
    this.#mark += 1;
    const steps: number[] = [];
    let isMatch = this.#follow(this.#program.start, steps);
    for (const at of reached) {
      const step = this.#program.steps[at];
      if (step?.kind === 'set' && step.set[byte] === 1 && this.#follow(step.next, steps)) {
        isMatch = true;
      }
    }
    if (isMatch) return MATCH;
    const before = this.#hasAssertions && WORD[byte] === 1 ? 'word' : 'other';
    const alive = steps.filter((at) => !this.#isPast(at));
    if (alive.length === 0) return DEAD;
    return { steps: alive.sort(ascending), before };
  }

  /** The start of the line has gone by. */
  #isPast(at: number): boolean {
    const step = this.#program.steps[at];
    return step?.kind === 'assert' && step.assertion === 'line-start';
  }

  /** The state's steps with its assertions decided by the next byte; undefined when it matches. */
  #decided(state: State, byte: number): readonly number[] | undefined {
    if (this.#accepts(state.steps)) return undefined;
    if (!this.#hasAssertions) return state.steps;
    const reached = [...state.steps];
    this.#mark += 1;
    for (const at of reached) this.#marks[at] = this.#mark;
    for (let index = 0; index < reached.length; index += 1) {
      const step = this.#program.steps[reached[index] ?? 0];
      if (step?.kind !== 'assert' || !holds(step.assertion, state.before, byte)) continue;
      if (this.#follow(step.next, reached)) return undefined;
    }
    return reached;
  }

  #accepts(steps: readonly number[]): boolean {
    return steps.some((at) => this.#program.steps[at]?.kind === 'accept');
  }

  /**
   * Adds to `steps` what can be reached from a step without reading a byte or looking at one.
   * True when the program accepts.
   */
  #follow(from: number, steps: number[]): boolean {
    const stack = [from];
    let isAccepted = false;
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (this.#marks[at] === this.#mark) continue;
      this.#marks[at] = this.#mark;
      const step = this.#program.steps[at];
      if (step?.kind === 'split') stack.push(step.other, step.next);
      else steps.push(at);
      if (step?.kind === 'accept') isAccepted = true;
    }
    return isAccepted;
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}

function holds(assertion: Assertion, before: Before, byte: number): boolean {
  const isWord = WORD[byte] === 1;
  const wasWord = before === 'word';
  switch (assertion) {
    case 'line-start':
      return before === 'start';
    case 'line-end':
      return byte === NEWLINE;
    case 'word-start':
      return !wasWord && isWord;
    case 'word-end':
      return wasWord && !isWord;
    case 'word-edge':
      return wasWord !== isWord;
    case 'no-word-edge':
      return wasWord === isWord;
  }
}

/** Splits the bytes into classes until every set of the program is a union of classes. */
function classesOf({ steps }: Program): {
  readonly classOf: Uint8Array;
  readonly byteOf: readonly number[];
} {
  const newline = emptySet();
  newline[NEWLINE] = 1;
  const sets = new Set<ByteSet>([newline]);
  for (const step of steps) {
    if (step.kind === 'set') sets.add(step.set);
    else if (step.kind === 'assert') sets.add(WORD);
  }
  let classOf = new Uint8Array(256);
  let count = 1;
  for (const set of sets) {
    if (count === 256) break;
    const ids = new Map<number, number>();
    classOf = classOf.map((old, byte) => {
      const key = old * 2 + (set[byte] ?? 0);
      const id = ids.get(key) ?? ids.size;
      ids.set(key, id);
      return id;
    });
    count = ids.size;
  }
  const byteOf: number[] = [];
  for (let byte = 255; byte >= 0; byte -= 1) byteOf[classOf[byte] ?? 0] = byte;
  return { classOf, byteOf };
}
