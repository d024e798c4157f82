/**
 * A model's own code (`code:` of model.yaml): an ES module that exports `preprocess`, `postprocess`
 * or both, run beside the weights in the model host.
 *
 * It runs in a V8 context of its own that holds the language and nothing else: no process, no
 * require, no timers, no network. What it imports is found by a loader of ours, which knows the
 * files of the model's folder and a `node:fs` that reads only those. Nothing but texts, numbers and
 * arrays made inside the context crosses its border, so that no object leads back out. This is
 * hygiene, not isolation: the walls behind it are the permission model of the whole process
 * (model-host-pool.ts) and, in the end, the operator who deploys the model.
 *
 * Every call has a deadline at which V8 ends it, so an endless loop costs its item and not the
 * process. A loop that hides from that (in a promise's callback) holds the process up; the node
 * then kills it and finds the item by halving the task (task-machine.ts).
 */
import { existsSync, readFileSync } from 'node:fs';
import { resolve, sep } from 'node:path';
// By name they are there only in a process that was started for them: see model-host-walls.ts.
import vm, { type Context, createContext, type Module, Script } from 'node:vm';
import type { Bitmap } from '../image/index.js';
import { BOOTSTRAP, type Inside } from './model-code-inside.js';

export interface ModelCodeOptions {
  /** The model's folder, absolute. */
  readonly dir: string;
  /** The module's file in it. */
  readonly file: string;
  /** For one call. */
  readonly timeoutMs: number;
  readonly labels: readonly string[] | undefined;
}

/** What `postprocess` gets beside the numbers. */
export interface PostprocessFacts {
  readonly input: string;
  readonly width: number;
  readonly height: number;
}

/** What a line may hold of one item. */
const OUTPUT_CHARS_MAX = 1024 * 1024;
/** So many calls in a row that never return, and the next ones get a tenth of the time. */
const TIMEOUTS_IN_ROW = 3;
const OWN_FILE_BYTES_MAX = 64 * 1024 * 1024;

export class ModelCode {
  readonly #context: Context;
  readonly #inside: Inside;
  readonly #call: Script;
  readonly #timeoutMs: number;
  #timeouts = 0;

  private constructor(context: Context, inside: Inside, call: Script, timeoutMs: number) {
    this.#context = context;
    this.#inside = inside;
    this.#call = call;
    this.#timeoutMs = timeoutMs;
  }

  /** Reads, links and runs the module. Throws plain errors that say what to change. */
  static async load(options: ModelCodeOptions): Promise<ModelCode> {
    const context = createContext(Object.create(null));
    const bootstrap: unknown = new Script(BOOTSTRAP, { filename: 'idunno' }).runInContext(context);
    const inside = (bootstrap as (read: (path: string, kind: string) => string) => Inside)(
      (path, kind) => readOwnFile(options.dir, path, kind),
    );
    // The only thing of ours that the code could name; calling it by itself changes nothing.
    const name = '__idunnoCall';
    Object.defineProperty(context, name, { value: inside.run });
    const main = await new ModuleLoader(options.dir, context, inside).load(options);
    const found = main.namespace as Readonly<Record<string, unknown>>;
    inside.take(found['preprocess'], found['postprocess'], JSON.stringify(options.labels ?? null));
    if (!inside.has('preprocess') && !inside.has('postprocess')) {
      throw new Error(`${options.file} exports neither preprocess nor postprocess`);
    }
    return new ModelCode(context, inside, new Script(`${name}()`), options.timeoutMs);
  }

  get hasPreprocess(): boolean {
    return this.#inside.has('preprocess');
  }

  get hasPostprocess(): boolean {
    return this.#inside.has('postprocess');
  }

  /** From a decoded picture to exactly `length` numbers of the input tensor. Throws the reason. */
  preprocess(bitmap: Bitmap, dtype: 'float32' | 'uint8', facts: object, length: number) {
    const { width, height, rgba } = bitmap;
    const pixels = this.#inside.makePixels(rgba.length);
    Uint8ClampedArray.prototype.set.call(pixels, rgba);
    const text = JSON.stringify({ width, height, dtype, facts });
    const count = Number(this.#run('preprocess', text, pixels));
    const made = this.#inside.takeValues();
    if (count !== length) {
      throw new Error(`preprocess: it returned ${count} numbers; the input takes ${length}`);
    }
    const values = dtype === 'uint8' ? new Uint8Array(length) : new Float32Array(length);
    values.set(made);
    return values;
  }

  /** From one row of the output tensor to what its line shall hold. Throws the reason. */
  postprocess(
    shape: readonly number[],
    data: readonly number[],
    facts: PostprocessFacts,
  ): { readonly top: unknown } | { readonly output: unknown } {
    const numbers = this.#inside.makeNumbers(data.length);
    Float64Array.prototype.set.call(numbers, data);
    const made = this.#run('postprocess', JSON.stringify({ shape, facts }), numbers);
    if (made.length > OUTPUT_CHARS_MAX) {
      throw new Error(`postprocess: it returned ${made.length} characters of JSON; at most 1 MiB`);
    }
    const value: unknown = JSON.parse(made);
    return isTop(value) ? { top: value.top } : { output: value };
  }

  #run(step: string, json: string, data: unknown): string {
    this.#inside.prepare(step, json, data);
    const isLooping = this.#timeouts >= TIMEOUTS_IN_ROW;
    const timeout = isLooping ? Math.ceil(this.#timeoutMs / 10) : this.#timeoutMs;
    let answer: unknown;
    try {
      answer = this.#call.runInContext(this.#context, { timeout });
    } catch (error) {
      // An error of the other side: no instance of our Error.
      const isTimeout =
        typeof error === 'object' &&
        error !== null &&
        'code' in error &&
        error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
      if (!isTimeout) throw new Error(`${step}: it could not be run`);
      this.#timeouts += 1;
      throw new Error(`${step}: it did not return within ${timeout} ms`);
    }
    this.#timeouts = 0;
    const text = String(answer);
    if (text.startsWith('e')) throw new Error(`${step}: ${text.slice(1)}`);
    return text.slice(1);
  }
}

/** Finds what model code imports: files of its folder, and a `node:fs` of our own. */
class ModuleLoader {
  readonly #dir: string;
  readonly #context: Context;
  readonly #inside: Inside;
  readonly #modules = new Map<string, Module>();

  constructor(dir: string, context: Context, inside: Inside) {
    this.#dir = dir;
    this.#context = context;
    this.#inside = inside;
  }

  async load({ file, timeoutMs }: ModelCodeOptions): Promise<Module> {
    const main = this.#find(`./${file}`);
    await main.link((specifier) => this.#find(specifier));
    // A wait at the top level would have nothing to wait for; it must not hold the load up.
    let late: NodeJS.Timeout | undefined;
    const isLate = new Promise<never>((_, reject) => {
      const error = new Error(`${file} did not come to its end within ${timeoutMs} ms`);
      late = setTimeout(() => reject(error), timeoutMs);
    });
    try {
      await Promise.race([main.evaluate({ timeout: timeoutMs }), isLate]);
    } catch (error) {
      throw new Error(`${file}: ${this.#inside.describe(error)}`);
    } finally {
      clearTimeout(late);
    }
    return main;
  }

  #find(specifier: string): Module {
    const known = this.#modules.get(specifier);
    if (known !== undefined) return known;
    const module = this.#make(specifier);
    this.#modules.set(specifier, module);
    return module;
  }

  #make(specifier: string): Module {
    const context = this.#context;
    if (specifier === 'node:fs' || specifier === 'fs') {
      const { fs } = this.#inside;
      return new vm.SyntheticModule(
        ['readFileSync', 'existsSync', 'default'],
        function setExports() {
          this.setExport('readFileSync', fs.readFileSync);
          this.setExport('existsSync', fs.existsSync);
          this.setExport('default', fs);
        },
        { context },
      );
    }
    const isOwn = /^\.\/[^/\\\0]+\.(js|mjs)$/.test(specifier);
    const path = resolve(this.#dir, specifier);
    if (!isOwn || !existsSync(path)) {
      throw new Error(
        `code may import ./files of its own folder and node:fs (readFileSync, existsSync), not "${specifier}"`,
      );
    }
    return new vm.SourceTextModule(readFileSync(path, 'utf8'), {
      context,
      identifier: specifier.slice(2),
      initializeImportMeta: () => undefined,
      importModuleDynamically: (later) => {
        throw new Error(`code may not import "${later}" while it runs: import it at the top`);
      },
    });
  }
}

/**
 * For the `node:fs` inside: 'v' and the content, or 'e' and why not. Only texts go in and come out.
 * Kinds: `exists`, `utf8`, and `bytes` as one character for each.
 */
function readOwnFile(dir: string, path: string, kind: string): string {
  const full = resolve(dir, path);
  if (!full.startsWith(resolve(dir) + sep)) {
    return `eEACCES: code may read only files of its own folder, not ${path}`;
  }
  try {
    if (kind === 'exists') return existsSync(full) ? 'v1' : 'v';
    const bytes = readFileSync(full);
    if (bytes.length > OWN_FILE_BYTES_MAX) return `e${path} is larger than 64 MiB`;
    return `v${bytes.toString(kind === 'utf8' ? 'utf8' : 'latin1')}`;
  } catch (error) {
    return `e${error instanceof Error ? error.message : String(error)}`;
  }
}

/** `{ top: [{ label, score }, …] }` is shown as a classification is. */
function isTop(value: unknown): value is { top: readonly { label: string; score: number }[] } {
  if (typeof value !== 'object' || value === null || !('top' in value)) return false;
  const { top } = value;
  if (!Array.isArray(top) || Object.keys(value).length !== 1) return false;
  return (top as unknown[]).every(
    (each) =>
      typeof each === 'object' &&
      each !== null &&
      typeof Reflect.get(each, 'label') === 'string' &&
      typeof Reflect.get(each, 'score') === 'number',
  );
}
