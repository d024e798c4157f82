/**
 * What lies inside the context of a model's code (model-code.ts): a script, kept as text because it
 * is compiled there, so that every object it makes belongs to that side. It takes the numbers of
 * one item, calls the code, and turns what comes back into texts and plain arrays while the
 * deadline still holds: a getter or an iterator of the code's never runs outside.
 */

/** What the script returns: its functions as they are seen from outside. */
export interface Inside {
  /** The code's exports; `labels` as JSON, or null. */
  take(preprocess: unknown, postprocess: unknown, labels: string): void;
  has(step: string): boolean;
  /**
   * Sets the next call up; `run` makes it and answers 'e' + reason, or 'v' and, of `preprocess`,
   * how many numbers it made, of `postprocess` its answer as JSON.
   */
  prepare(step: string, json: string, data: unknown): void;
  run(): string;
  /** The numbers that `preprocess` made; an array of the script's own. */
  takeValues(): Float32Array | Uint8Array;
  makePixels(length: number): Uint8ClampedArray;
  makeNumbers(length: number): Float64Array;
  describe(error: unknown): string;
  readonly fs: { readonly readFileSync: unknown; readonly existsSync: unknown };
}

export const BOOTSTRAP = `(read) => {
  'use strict';
  const { parse, stringify } = JSON;
  const { freeze } = Object;
  const Floats = Float32Array, Bytes = Uint8Array, Clamped = Uint8ClampedArray;
  const Doubles = Float64Array, Failure = Error, text = String;
  const code = { preprocess: undefined, postprocess: undefined };
  let labels = null, step = '', json = '', data = null, values = new Floats(0);

  const describe = (error) => {
    try {
      return error instanceof Failure || typeof error?.message === 'string'
        ? error.name + ': ' + error.message
        : text(error);
    } catch {
      return 'an error that cannot be shown';
    }
  };
  const settled = (made) => {
    if (typeof made?.then !== 'function') return made;
    throw new TypeError('it returned a promise; it must return the value itself');
  };
  const steps = {
    preprocess() {
      const { width, height, dtype, facts } = parse(json);
      const made = settled(code.preprocess({ width, height, data }, facts));
      if (typeof made !== 'object' || made === null || typeof made.length !== 'number') {
        throw new TypeError('it returned no array of numbers');
      }
      values = dtype === 'uint8' ? new Bytes(made) : new Floats(made);
      return values.length;
    },
    postprocess() {
      const { shape, facts } = parse(json);
      const made = settled(code.postprocess({ shape, data }, { ...facts, labels }));
      const written = stringify(made);
      if (written === undefined) throw new TypeError('it returned nothing that JSON can hold');
      return written;
    },
  };
  const ask = (path, kind) => {
    const answer = read(text(path), kind);
    if (answer[0] === 'v') return answer.slice(1);
    throw new Failure(answer.slice(1));
  };
  const encodingOf = (options) => (typeof options === 'string' ? options : options?.encoding);
  const fs = freeze({
    readFileSync: freeze((path, options) => {
      const encoding = encodingOf(options);
      if (encoding !== undefined && encoding !== null) return ask(path, 'utf8');
      const raw = ask(path, 'bytes');
      const bytes = new Bytes(raw.length);
      for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
      return bytes;
    }),
    existsSync: freeze((path) => ask(path, 'exists') !== ''),
  });
  const run = freeze(() => {
    try {
      return 'v' + steps[step]();
    } catch (error) {
      return 'e' + describe(error);
    } finally {
      data = null;
    }
  });
  return freeze({
    take(preprocess, postprocess, list) {
      code.preprocess = preprocess;
      code.postprocess = postprocess;
      labels = freeze(parse(list));
    },
    has: (name) => typeof code[name] === 'function',
    prepare(name, given, numbers) {
      step = name;
      json = given;
      data = numbers;
    },
    run,
    takeValues() {
      const taken = values;
      values = new Floats(0);
      return taken;
    },
    makePixels: (length) => new Clamped(length),
    makeNumbers: (length) => new Doubles(length),
    describe,
    fs,
  });
}`;
