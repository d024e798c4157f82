/**
 * The one importer of onnxruntime-node, and a narrow face for it.
 *
 * Only model hosts import this file: `run` blocks its thread (onnxruntime #19611), a released
 * session keeps its memory (#25325), and a run cannot be stopped from within (#24601). Each model
 * therefore has a process of its own, and unloading a model is ending that process.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** Name, element type and shape of a tensor; -1 where a dimension is free. */
export interface TensorFacts {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
}

export interface OnnxTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array | Uint8Array;
}

export interface OnnxSession {
  readonly inputs: readonly TensorFacts[];
  readonly outputs: readonly TensorFacts[];
  /** One input, one output. Throws plain errors with onnxruntime's text. */
  run(input: string, tensor: OnnxTensor, output: string): Promise<OnnxOutput>;
}

export interface OnnxOutput {
  readonly dims: readonly number[];
  readonly data: ArrayLike<number | bigint>;
}

/** Opens a weights file with so many threads for one run. Throws what onnxruntime says. */
export async function loadSession(
  path: string,
  options: { readonly threads: number },
): Promise<OnnxSession> {
  const session = await InferenceSession.create(path, {
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  });
  return {
    inputs: session.inputMetadata.map(toFacts),
    outputs: session.outputMetadata.map(toFacts),
    async run(input, { dims, data }, output) {
      const type = data instanceof Uint8Array ? 'uint8' : 'float32';
      const results = await session.run({ [input]: new Tensor(type, data, dims) }, [output]);
      const tensor = results[output];
      if (tensor === undefined) throw new Error(`the model gave no output ${output}`);
      if (tensor.type === 'string') throw new Error(`output ${output} holds text, not numbers`);
      return { dims: tensor.dims, data: tensor.data as ArrayLike<number | bigint> };
    },
  };
}

function toFacts(metadata: InferenceSession.ValueMetadata): TensorFacts {
  if (!metadata.isTensor) return { name: metadata.name, type: 'not a tensor', shape: [] };
  const shape = metadata.shape.map((dim) => (typeof dim === 'number' && dim > 0 ? dim : -1));
  return { name: metadata.name, type: metadata.type, shape };
}
