/**
 * Does a manifest fit its weights? Compares names, element types, shapes and the number of classes,
 * and says for each mismatch what was found, what was expected and which key to change. Pure.
 */
import { channelCount, type InputSpec, tensorShape } from '../image/index.js';
import type { ModelManifest } from './manifest.js';
import type { TensorFacts } from './onnx.js';

/** The tensors that a model is run with, or what is wrong. */
export interface SessionPlan {
  readonly input: string;
  readonly output: string;
  /** Images in one run: the model's fixed batch, or free (-1). */
  readonly batch: number;
  readonly problems: readonly string[];
}

/** `labels`: undefined when the model needs none. */
export function planSession(
  manifest: ModelManifest,
  inputs: readonly TensorFacts[],
  outputs: readonly TensorFacts[],
  labels: number | undefined,
): SessionPlan {
  const problems: string[] = [];
  const input = findTensor('input', manifest.input.name, inputs, problems);
  const output = findTensor('output', manifest.output.name, outputs, problems);
  let batch = -1;
  if (input !== undefined) {
    problems.push(...inputProblems(manifest.input, input));
    batch = input.shape[0] ?? -1;
  }
  if (output !== undefined && labels !== undefined) {
    problems.push(...classProblems(manifest, output, labels));
  }
  return { input: input?.name ?? '', output: output?.name ?? '', batch, problems };
}

function findTensor(
  key: 'input' | 'output',
  name: string | undefined,
  tensors: readonly TensorFacts[],
  problems: string[],
): TensorFacts | undefined {
  const names = tensors.map((tensor) => tensor.name).join(', ');
  if (name === undefined && tensors.length !== 1) {
    problems.push(`the weights have the ${key}s ${names}: say which one in ${key}.name`);
    return undefined;
  }
  const found = name === undefined ? tensors[0] : tensors.find((tensor) => tensor.name === name);
  if (found === undefined) {
    problems.push(`the weights have no ${key} "${name}"; set ${key}.name to one of: ${names}`);
  }
  return found;
}

function inputProblems(spec: InputSpec, input: TensorFacts): string[] {
  const problems: string[] = [];
  const type = spec.dtype ?? 'float32';
  if (input.type !== type) {
    problems.push(`input ${input.name} is of type ${input.type}, model.yaml has dtype: ${type}`);
  }
  const given = tensorShape(spec, -1);
  const shape = input.shape;
  if (shape.length !== given.length) {
    const text = `input ${input.name} has ${shape.length} dimensions ${describeShape(shape)}`;
    problems.push(`${text}; images give 4: ${describeShape(given)}`);
    return problems;
  }
  const fits = shape.every((dim, at) => at === 0 || dim === -1 || dim === given[at]);
  if (!fits) {
    const keys = 'width, height, channels and layout';
    problems.push(
      `input ${input.name} has the shape ${describeShape(shape)}, but ${keys} of model.yaml give ` +
        `${describeShape(given)}${swapHint(spec, shape)}`,
    );
  }
  return problems;
}

/** The most common slip, named. */
function swapHint(spec: InputSpec, shape: readonly number[]): string {
  const count = channelCount(spec.channels ?? 'RGB');
  const layout = spec.layout ?? 'NCHW';
  if (layout === 'NCHW' && shape[3] === count && shape[1] !== count) return '; try layout: NHWC';
  if (layout === 'NHWC' && shape[1] === count && shape[3] !== count) return '; try layout: NCHW';
  return '';
}

function classProblems(manifest: ModelManifest, output: TensorFacts, labels: number): string[] {
  const dims = output.shape.slice(1);
  // Free dimensions are seen at the warm-up run.
  if (dims.some((dim) => dim === -1)) return [];
  const classes = dims.reduce((product, dim) => product * dim, 1);
  return checkClasses(manifest, output.name, classes, labels);
}

/** Also used on the output of the warm-up run, where every dimension is known. */
export function checkClasses(
  manifest: ModelManifest,
  output: string,
  classes: number,
  labels: number,
): string[] {
  const problems: string[] = [];
  if (classes !== labels) {
    problems.push(
      `output ${output} has ${classes} classes, ${manifest.labels} has ${labels} labels`,
    );
  }
  if (manifest.output.topK > classes) {
    problems.push(`output.topK is ${manifest.output.topK}, but there are only ${classes} classes`);
  }
  return problems;
}

function describeShape(shape: readonly number[]): string {
  return `[${shape.map((dim) => (dim === -1 ? 'n' : dim)).join(', ')}]`;
}
