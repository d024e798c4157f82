/**
 * One model in one process: loads a folder, then turns input bytes into result lines.
 *
 * What happens to an input, in order: decode, `preprocess` of the model's code or the steps of
 * model.yaml, the weights, `postprocess` of the code or top-k.
 *
 * An input that is not an image, or that the model cannot take, fails alone: its line carries the
 * reason, the others of its chunk go on. Images are run in small batches where the model allows;
 * when a batch fails as a whole, its images are run one by one, so that the guilty one is known.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IdunnoError } from '../base/index.js';
import {
  type Bitmap,
  createTensor,
  decodeImage,
  tensorLength,
  tensorShape,
  writeTensor,
} from '../image/index.js';
import type { ChunkResult, EngineItem } from './engine.js';
import { ModelCode } from './model-code.js';
import { NAMED_FAILURES_MAX, REASON_CHARS_MAX } from './limits.js';
import { MANIFEST_FILE, type ModelManifest, parseLabels, parseManifest } from './manifest.js';
import { loadSession, type OnnxOutput, type OnnxSession } from './onnx.js';
import { checkClasses, planSession, type SessionPlan } from './session-check.js';

/** Images in one run. More help small networks only, and hold the others up. */
const BATCH_MAX = 8;
/** Input bytes of one run: a bound on memory for models with large inputs. */
const BATCH_BYTES_MAX = 16 * 1024 * 1024;

interface Prepared {
  readonly item: EngineItem;
  readonly at: number;
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array | Uint8Array;
}

type Fail = (at: number, item: EngineItem, reason: string) => void;

export class ModelRunner {
  readonly #manifest: ModelManifest;
  readonly #labels: readonly string[] | undefined;
  readonly #session: OnnxSession;
  readonly #plan: SessionPlan;
  readonly #code: ModelCode | undefined;

  private constructor(
    manifest: ModelManifest,
    labels: readonly string[] | undefined,
    session: OnnxSession,
    plan: SessionPlan,
    code: ModelCode | undefined,
  ) {
    this.#manifest = manifest;
    this.#labels = labels;
    this.#session = session;
    this.#plan = plan;
    this.#code = code;
  }

  /** Loads, checks and warms up. Throws BAD_MODEL or MODEL_LOAD_FAILED, saying what to change. */
  static async load(dir: string, threads: number): Promise<ModelRunner> {
    const manifest = parseManifest(await readFile(join(dir, MANIFEST_FILE), 'utf8'));
    const file = manifest.labels;
    const labels =
      file === undefined ? undefined : parseLabels(await readFile(join(dir, file), 'utf8'), file);
    const session = await openWeights(join(dir, manifest.weights), manifest, threads);
    const code = await openCode(dir, manifest, labels);
    // What the code makes of the output need not be one score for each label.
    const classes = code?.hasPostprocess === true ? undefined : labels?.length;
    const plan = planSession(manifest, session.inputs, session.outputs, classes);
    if (plan.problems.length > 0) throw loadFailed(manifest, plan.problems);
    const runner = new ModelRunner(manifest, labels, session, plan, code);
    await runner.#warmUp();
    return runner;
  }

  /** One line for each item, in order. */
  async infer(items: readonly EngineItem[]): Promise<ChunkResult> {
    const lines = new Array<string>(items.length).fill('');
    const named: [number, string][] = [];
    let failed = 0;
    const fail: Fail = (at, item, reason) => {
      const text = reason.slice(0, REASON_CHARS_MAX);
      lines[at] = lineOf(item, { error: text });
      if (named.length < NAMED_FAILURES_MAX) named.push([item.query, text]);
      failed += 1;
    };
    let batch: Prepared[] = [];
    const flush = async () => {
      const ready = batch;
      batch = [];
      await this.#runBatch(ready, lines, fail);
    };
    for (const [at, item] of items.entries()) {
      const prepared = await this.#prepare(item, at, fail);
      if (prepared !== undefined) batch.push(prepared);
      if (batch.length >= this.#batchSize) await flush();
    }
    await flush();
    named.sort((a, b) => a[0] - b[0]);
    return { lines: Buffer.from(lines.join('')), failed, named };
  }

  get #batchSize(): number {
    if (this.#plan.batch > 0) return this.#plan.batch;
    const bytes = tensorLength(this.#manifest.input) * 4;
    return Math.max(1, Math.min(BATCH_MAX, Math.floor(BATCH_BYTES_MAX / bytes)));
  }

  async #prepare(item: EngineItem, at: number, fail: Fail): Promise<Prepared | undefined> {
    if (item.bytes === undefined) {
      fail(at, item, item.error ?? 'its bytes could not be read');
      return undefined;
    }
    try {
      const bitmap = await decodeImage(item.bytes);
      const { width, height } = bitmap;
      return { item, at, width, height, values: this.#toTensor(bitmap, item) };
    } catch (error) {
      fail(at, item, messageOf(error));
      return undefined;
    }
  }

  #toTensor(bitmap: Bitmap, item: EngineItem): Float32Array | Uint8Array {
    const { input } = this.#manifest;
    if (this.#code?.hasPreprocess === true) {
      const { width, height, channels, layout, dtype = 'float32' } = input;
      const facts = { input: item.input, width, height, channels, layout };
      return this.#code.preprocess(bitmap, dtype, facts, tensorLength(input));
    }
    const values = createTensor(input, 1);
    writeTensor(bitmap, input, values, 0);
    return values;
  }

  async #runBatch(batch: readonly Prepared[], lines: string[], fail: Fail): Promise<void> {
    if (batch.length === 0) return;
    let output: OnnxOutput;
    try {
      output = await this.#run(batch.map((each) => each.values));
    } catch (error) {
      const [only] = batch;
      if (batch.length === 1 && only !== undefined) {
        fail(only.at, only.item, `the model refused it: ${messageOf(error)}`);
        return;
      }
      for (const each of batch) await this.#runBatch([each], lines, fail);
      return;
    }
    for (const [row, each] of batch.entries()) {
      try {
        lines[each.at] = lineOf(each.item, this.#resultOf(output, row, each));
      } catch (error) {
        fail(each.at, each.item, messageOf(error));
      }
    }
  }

  /** A fixed batch is filled up with zeros. */
  #run(images: readonly (Float32Array | Uint8Array)[]): Promise<OnnxOutput> {
    const { input } = this.#manifest;
    const count = this.#plan.batch > 0 ? this.#plan.batch : images.length;
    const data = createTensor(input, count);
    const length = tensorLength(input);
    for (const [at, values] of images.entries()) data.set(values, at * length);
    const tensor = { dims: tensorShape(input, count), data };
    return this.#session.run(this.#plan.input, tensor, this.#plan.output);
  }

  #resultOf(output: OnnxOutput, row: number, { item, width, height }: Prepared): object {
    const count = output.dims[0] ?? 1;
    const length = output.data.length / count;
    const values: number[] = [];
    for (let at = row * length; at < (row + 1) * length; at += 1) {
      values.push(Number(output.data[at]));
    }
    if (this.#code?.hasPostprocess === true) {
      const facts = { input: item.input, width, height };
      return this.#code.postprocess(output.dims.slice(1), values, facts);
    }
    if (this.#labels === undefined || this.#manifest.output.kind === 'raw') {
      return { output: { shape: output.dims.slice(1), data: values.map(shorten) } };
    }
    const { topK, activation } = this.#manifest.output;
    const scores = activation === 'softmax' ? softmax(values) : values;
    return { top: topOf(scores, this.#labels, topK) };
  }

  /** The first run allocates and tunes; it also shows dimensions that the file leaves free. */
  async #warmUp(): Promise<void> {
    let output: OnnxOutput;
    try {
      output = await this.#run([createTensor(this.#manifest.input, 1)]);
    } catch (error) {
      throw loadFailed(this.#manifest, [`a run on zeros failed: ${messageOf(error)}`]);
    }
    if (this.#labels === undefined || this.#code?.hasPostprocess === true) return;
    const classes = output.data.length / Math.max(1, output.dims[0] ?? 1);
    const name = this.#plan.output;
    const problems = checkClasses(this.#manifest, name, classes, this.#labels.length);
    if (problems.length > 0) throw loadFailed(this.#manifest, problems);
  }
}

async function openWeights(
  path: string,
  manifest: ModelManifest,
  threads: number,
): Promise<OnnxSession> {
  try {
    return await loadSession(path, { threads });
  } catch (error) {
    const text = messageOf(error);
    const isForeign = /protobuf parsing failed|does not have a graph/i.test(text);
    const why = isForeign ? 'it is not an ONNX file: export the model to ONNX' : text;
    throw loadFailed(manifest, [`weights: ${manifest.weights} cannot be loaded: ${why}`]);
  }
}

/** The model's own code, if it brings any. */
async function openCode(
  dir: string,
  { code: file, codeTimeoutMs: timeoutMs, ...manifest }: ModelManifest,
  labels: readonly string[] | undefined,
): Promise<ModelCode | undefined> {
  if (file === undefined) return undefined;
  try {
    return await ModelCode.load({ dir, file, timeoutMs, labels });
  } catch (error) {
    throw loadFailed(manifest, [`code: ${messageOf(error)}`]);
  }
}

function loadFailed(
  manifest: Pick<ModelManifest, 'name'>,
  problems: readonly string[],
): IdunnoError {
  return new IdunnoError(
    'MODEL_LOAD_FAILED',
    `model ${manifest.name} cannot be used:\n  ${problems.join('\n  ')}\n` +
      'Correct model.yaml or the weights and deploy again.',
    { model: manifest.name, problems: problems.length },
  );
}

/** Largest first; equal scores in the order of the labels. */
function topOf(
  scores: readonly number[],
  labels: readonly string[],
  count: number,
): { label: string; score: number }[] {
  return scores
    .map((score, at) => ({ score, at }))
    .sort((a, b) => b.score - a.score || a.at - b.at)
    .slice(0, count)
    .map(({ score, at }) => ({ label: labels[at] ?? String(at), score: shorten(score) }));
}

function softmax(values: readonly number[]): number[] {
  const max = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - max));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

/** As many digits as a float32 has. JSON has no NaN or infinities: those become null there. */
function shorten(value: number): number {
  return Number(value.toPrecision(7));
}

function lineOf(item: EngineItem, result: object): string {
  const { item: number, repetition, input, version } = item;
  return `${JSON.stringify({ item: number, repetition, input, version, ...result })}\n`;
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}
