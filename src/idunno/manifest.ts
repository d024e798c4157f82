/**
 * `model.yaml`: what a model folder says about itself, parsed and checked whole. All problems are
 * reported at once, each with its line; unknown keys are refused, since a misspelt key that is
 * ignored gives wrong results and no error. docs/model-yaml.md describes the keys.
 *
 * What only the weights can answer (names and shapes of tensors, number of classes) is checked
 * when a model host loads them: see session-check.ts.
 */
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { IdunnoError, nearest } from '../base/index.js';
import { completeInputSpec, type InputSpec, validateInputSpec } from '../image/index.js';

/** The file that makes a folder a model. */
export const MANIFEST_FILE = 'model.yaml';
const MANIFEST_BYTES_MAX = 256 * 1024;
const TOP_K_MAX = 1_000;
const LABELS_MAX = 100_000;
/** One call of a model's code, on a machine that may have much else to do. */
const CODE_TIMEOUT_MS = 5_000;
const CODE_TIMEOUT_MAX_MS = 10_000;

export interface ModelManifest {
  readonly name: string;
  /** Of the manifest's format; 1. */
  readonly version: number;
  readonly description: string;
  /** File names inside the folder. */
  readonly weights: string;
  readonly labels: string | undefined;
  /** An ES module of the folder that exports `preprocess`, `postprocess` or both. */
  readonly code: string | undefined;
  /** Of one call of the code. */
  readonly codeTimeoutMs: number;
  readonly input: InputSpec & { readonly name: string | undefined };
  readonly output: {
    readonly name: string | undefined;
    readonly kind: 'classification' | 'raw';
    readonly topK: number;
    readonly activation: 'softmax' | 'none';
  };
}

/** One thing that is wrong, and where. */
export interface ManifestProblem {
  readonly line: number | undefined;
  readonly text: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const fileName = z
  .string()
  .regex(/^[^/\\\0]{1,128}$/, 'must be the name of a file in the same folder')
  .refine((name) => name !== '.' && name !== '..', 'must be the name of a file');
const numbers = z.union([z.number().transform((one) => [one]), z.array(z.number()).min(1)]);

const schema = z.strictObject({
  name: z.string().regex(NAME, 'must be 1 to 64 letters, digits, ".", "_" or "-"'),
  version: z.literal(1),
  description: z.string().max(400).default(''),
  weights: fileName,
  labels: fileName.optional(),
  code: fileName.regex(/\.m?js$/, 'must be an ES module: a file named .js or .mjs').optional(),
  codeTimeoutMs: z.number().int().min(10).max(CODE_TIMEOUT_MAX_MS).optional(),
  input: z.strictObject({
    name: z.string().min(1).optional(),
    width: z.number(),
    height: z.number(),
    resize: z.enum(['exact', 'shorter-side']).optional(),
    shorterSide: z.number().optional(),
    crop: z.enum(['center', 'none']).optional(),
    channels: z.enum(['RGB', 'BGR', 'GRAY']).optional(),
    layout: z.enum(['NCHW', 'NHWC']).optional(),
    dtype: z.enum(['float32', 'uint8']).optional(),
    scale: z.number().optional(),
    mean: numbers.optional(),
    std: numbers.optional(),
    invert: z.boolean().optional(),
  }),
  output: z.strictObject({
    name: z.string().min(1).optional(),
    kind: z.enum(['classification', 'raw']),
    topK: z.number().int().min(1).max(TOP_K_MAX).default(1),
    activation: z.enum(['softmax', 'none']).default('none'),
  }),
  /** Free form: for people. */
  accuracy: z.unknown().optional(),
});

/** The manifest, or everything that is wrong with the text. */
export function validateManifest(text: string): ModelManifest | readonly ManifestProblem[] {
  if (text.length > MANIFEST_BYTES_MAX) {
    return [{ line: undefined, text: `it is longer than ${MANIFEST_BYTES_MAX} bytes` }];
  }
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // Its warnings go past us to stderr, and are about keys that are refused anyway.
    logLevel: 'error',
  });
  if (document.errors.length > 0) {
    return document.errors.map(({ message, pos }) => ({
      line: lines.linePos(pos[0]).line,
      text: message,
    }));
  }
  const lineOf = (path: readonly PropertyKey[]): number | undefined => {
    for (let depth = path.length; depth > 0; depth -= 1) {
      const node: unknown = document.getIn(path.slice(0, depth) as (string | number)[], true);
      const range = (node as { range?: readonly number[] } | undefined)?.range;
      if (range?.[0] !== undefined) return lines.linePos(range[0]).line;
    }
    return undefined;
  };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 20 });
  } catch (error) {
    // Parts that do not fit: a merge of what is no map, aliases without end.
    return [{ line: undefined, text: error instanceof Error ? error.message : String(error) }];
  }
  const parsed = schema.safeParse(value);
  const problems = parsed.success
    ? []
    : parsed.error.issues.flatMap((each) => explain(each, lineOf));
  problems.push(...deeperProblems(value, parsed.data, lineOf));
  if (parsed.success && problems.length === 0) return complete(parsed.data);
  return problems.sort((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity));
}

type Parsed = z.infer<typeof schema>;
type LineOf = (path: readonly PropertyKey[]) => number | undefined;

function explain(issue: z.core.$ZodIssue, lineOf: LineOf): ManifestProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const path = [...issue.path, key];
      const meant = nearest(key, keysAt(issue.path));
      const hint = meant === undefined ? '' : `: did you mean ${meant}?`;
      return { line: lineOf(path), text: `${path.join('.')} is not a key of model.yaml${hint}` };
    });
  }
  const where = issue.path.join('.') || 'the file';
  const isMissing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  const text = isMissing ? `${where} is missing` : `${where}: ${issue.message}`;
  return [{ line: isMissing ? undefined : lineOf(issue.path), text }];
}

function keysAt(path: readonly PropertyKey[]): string[] {
  if (path[0] === 'input') return Object.keys(schema.shape.input.shape);
  if (path[0] === 'output') return Object.keys(schema.shape.output.shape);
  return Object.keys(schema.shape);
}

/** What a schema cannot say: keys that must fit each other. Also when other keys are wrong. */
function deeperProblems(
  value: unknown,
  parsed: Parsed | undefined,
  lineOf: LineOf,
): ManifestProblem[] {
  const problems: ManifestProblem[] = [];
  const input = schema.shape.input.safeParse((value as { input?: unknown } | null)?.input);
  if (input.success) {
    for (const text of validateInputSpec(input.data)) {
      const key = text.split(' ')[0] ?? '';
      problems.push({ line: lineOf(['input', key]) ?? lineOf(['input']), text: `input: ${text}` });
    }
  }
  if (parsed?.output.kind === 'classification' && parsed.labels === undefined) {
    const text = 'labels: a classification needs a file with one label per line';
    problems.push({ line: lineOf(['output', 'kind']), text });
  }
  if (parsed?.codeTimeoutMs !== undefined && parsed.code === undefined) {
    const text = 'codeTimeoutMs: there is no code whose calls it could bound';
    problems.push({ line: lineOf(['codeTimeoutMs']), text });
  }
  return problems;
}

function complete(parsed: Parsed): ModelManifest {
  const { name, version, description, weights, labels, code, input, output } = parsed;
  return {
    name,
    version,
    description,
    weights,
    labels,
    code,
    codeTimeoutMs: parsed.codeTimeoutMs ?? CODE_TIMEOUT_MS,
    input: { ...completeShape(input), name: input.name },
    output: { ...output, name: output.name },
  };
}

/** With all defaults, but `shorterSide` only where it means something. */
function completeShape(input: Parsed['input']): InputSpec {
  const { shorterSide, ...whole } = completeInputSpec(input);
  return whole.resize === 'exact' ? whole : { ...whole, shorterSide };
}

/** The manifest of a folder. Throws BAD_MODEL with every problem, one per line. */
export function parseManifest(text: string): ModelManifest {
  const result = validateManifest(text);
  if (!Array.isArray(result)) return result as ModelManifest;
  throw badModel(result as readonly ManifestProblem[]);
}

/** One error for all problems. */
export function badModel(problems: readonly ManifestProblem[]): IdunnoError {
  const lines = problems.map(({ line, text }) =>
    line === undefined ? text : `line ${line}: ${text}`,
  );
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  return new IdunnoError(
    'BAD_MODEL',
    `model.yaml has ${count}:\n  ${lines.join('\n  ')}\nSee docs/model-yaml.md.`,
    { problems: problems.length },
  );
}

/** Labels of a file, one per line; blank lines at the end do not count. Throws BAD_MODEL. */
export function parseLabels(text: string, file: string): string[] {
  const labels = text.replace(/\s+$/, '').split(/\r?\n/);
  const empty = labels.findIndex((label) => label.trim() === '');
  if (empty >= 0) {
    throw new IdunnoError('BAD_MODEL', `${file}, line ${empty + 1}: a label is empty`);
  }
  if (labels.length > LABELS_MAX) {
    throw new IdunnoError('BAD_MODEL', `${file} has more than ${LABELS_MAX} labels`);
  }
  return labels.map((label) => label.trim());
}

/**
 * Checks a whole folder before anything is stored: the manifest, and that each file it names is
 * there and not empty. Throws BAD_MODEL with every problem found.
 */
export function checkFolder(
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
): ModelManifest {
  const find = (name: string) => files.find((file) => file.name === name);
  const file = find(MANIFEST_FILE);
  if (file === undefined) {
    throw new IdunnoError(
      'BAD_MODEL',
      `the folder has no ${MANIFEST_FILE}: see docs/model-yaml.md`,
    );
  }
  const manifest = parseManifest(Buffer.from(file.bytes).toString('utf8'));
  const problems: ManifestProblem[] = [];
  for (const [key, name] of [
    ['weights', manifest.weights],
    ['labels', manifest.labels],
    ['code', manifest.code],
  ] as const) {
    if (name === undefined) continue;
    const named = find(name);
    if (named === undefined) {
      problems.push({ line: undefined, text: `${key}: ${name} is not in the folder` });
    } else if (named.bytes.length === 0) {
      problems.push({ line: undefined, text: `${key}: ${name} is empty` });
    } else if (key === 'labels') {
      parseLabels(Buffer.from(named.bytes).toString('utf8'), name);
    }
  }
  if (problems.length > 0) throw badModel(problems);
  return manifest;
}
