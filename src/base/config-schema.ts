/**
 * The shape of the config file: keys, types, ranges. What several keys must fulfil together is
 * config-rules.ts. docs/config.md describes each key.
 */
import { z } from 'zod';
import { COORDINATORS_MAX, NODES_MAX } from './limits.js';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const NAME_RULE =
  'must be 1 to 64 letters, digits, ".", "_" or "-", starting with a letter or digit';

const name = z.string({ error: 'must be a text' }).regex(NAME, { error: NAME_RULE });
const text = (bytesMax: number) => {
  return z
    .string({ error: 'must be a text' })
    .min(1, { error: 'must not be empty' })
    .max(bytesMax, { error: `must have at most ${bytesMax} characters` });
};

function integer(min: number, max: number, unit = '') {
  const error = `must be a whole number${unit === '' ? '' : ` of ${unit}`} from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

const ms = (min: number, max: number) => integer(min, max, 'milliseconds').optional();
const port = integer(1, 65_535);

const nodeSchema = z.strictObject({
  name,
  host: text(253),
  port,
  http: port.optional(),
  dataDir: text(4096).optional(),
  labels: z.record(name, text(256), { error: 'must be a map of texts' }).optional(),
  slots: integer(1, 64).optional(),
});

export const configSchema = z.strictObject({
  cluster: name,
  preset: z
    .enum(['local', 'lan', 'test'], { error: 'must be "local", "lan" or "test"' })
    .optional(),
  dataRoot: text(4096).optional(),
  coordinators: z
    .array(name, { error: 'must be a list of node names' })
    .min(1, { error: 'must name at least one node' })
    .max(COORDINATORS_MAX, { error: `must name at most ${COORDINATORS_MAX} nodes` }),
  nodes: z
    .array(nodeSchema, { error: 'must be a list of nodes' })
    .min(1, { error: 'must have at least one node' })
    .max(NODES_MAX, { error: `must have at most ${NODES_MAX} nodes` }),
  raft: z
    .strictObject({
      heartbeatMs: ms(10, 5000),
      electionMinMs: ms(50, 60_000),
      electionMaxMs: ms(50, 60_000),
    })
    .optional(),
  swim: z
    .strictObject({
      periodMs: ms(100, 60_000),
      ackTimeoutMs: ms(10, 30_000),
      suspectAtMs: ms(20, 60_000),
      failAfterMs: ms(100, 600_000),
      deleteAfterMs: ms(100, 600_000),
    })
    .optional(),
  sdfs: z
    .strictObject({
      copies: integer(1, 16).optional(),
      repairDelayMs: ms(0, 86_400_000),
    })
    .optional(),
});

export type ConfigFile = z.infer<typeof configSchema>;
export type NodeEntry = ConfigFile['nodes'][number];

/** The keys of each object of the file, for hints; `nodes` stands for one entry. */
export const CONFIG_KEYS: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(configSchema.shape),
  nodes: Object.keys(nodeSchema.shape),
  raft: Object.keys(configSchema.shape.raft.unwrap().shape),
  swim: Object.keys(configSchema.shape.swim.unwrap().shape),
  sdfs: Object.keys(configSchema.shape.sdfs.unwrap().shape),
};
