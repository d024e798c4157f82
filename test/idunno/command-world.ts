/**
 * Commands of models and jobs on the store's test harness: builders for the tests beside it.
 * Workers here are a few lines each; they compute nothing.
 */
import { createHash } from 'node:crypto';
import {
  type DoneReport,
  type Decision,
  type Grant,
  readDecision,
  type Report,
  writeReport,
} from '../../src/idunno/protocol.js';
import { idunnoModule } from '../../src/idunno/module.js';
import type { Wire } from '../../src/net/index.js';
import { createTestStore, type StoreModule, type TestStore } from '../../src/store/index.js';

export interface CommandWorld {
  readonly store: TestStore;
  /** Registers a node, up at this epoch. */
  addNode(name: string, epoch?: number): void;
  /** Deploys a model that is warm on these nodes. */
  addModel(name: string, nodes: readonly string[]): number;
  addJob(spec?: Readonly<Record<string, Wire>>): number;
  /** One report through the work command. */
  work(
    report: Partial<Report> & { readonly node: string },
    hedges?: readonly (readonly [job: number, from: number])[],
  ): Decision;
}

/** `modules`: commands that only a test has. */
export function createCommandWorld(modules: readonly StoreModule[] = []): CommandWorld {
  let nowMs = 1_000_000;
  const store = createTestStore([idunnoModule, ...modules]);
  const world: CommandWorld = {
    store,
    addNode(name, epoch = 1) {
      const facts = { name, epoch, host: '127.0.0.1', port: 1, slots: 1, bootWallMs: 1 };
      store.apply('nodes.register', [facts]);
    },
    addModel(name, nodes) {
      const file = [`models/${name}/model.onnx`, 1, 10];
      const revision = store.apply('idunno.model.deploy', [name, '', [file]]) as number;
      const rows = nodes.map((node) => [name, revision, node, 1]);
      store.apply('idunno.model.assign', [rows, []]);
      const state = { name, revision, state: 'warm', error: null } as const;
      for (const node of nodes) world.work({ node, models: [state] });
      return revision;
    },
    addJob(spec = {}) {
      const whole = {
        model: 'digits',
        manifest: 'jobs/inputs',
        manifestVersion: 1,
        items: 100,
        batch: 10,
        weight: 1,
        repeat: 1,
        maxFailed: null,
        ...spec,
      };
      return store.apply('idunno.job.create', [whole]) as number;
    },
    work(report, hedges = []) {
      nowMs = Math.max(nowMs + 1, store.nowMs + 1);
      const wire = writeReport({ ...EMPTY_REPORT, ...report });
      const decisions = store.apply('idunno.work', [[wire], hedges], { nowMs }) as readonly Wire[];
      return readDecision(decisions[0]);
    },
  };
  return world;
}

export const EMPTY_REPORT: Omit<Report, 'node'> = {
  epoch: 1,
  seq: 1,
  held: [],
  done: [],
  failed: [],
  returned: [],
  want: 0,
  models: [],
  catalog: '',
};

/** The report of a task that was finished, every query well. */
export function doneOf(grant: Grant, lines = linesOf(grant)): DoneReport {
  const bytes = Buffer.from(lines);
  return {
    job: grant.job,
    from: grant.from,
    attempt: grant.attempt,
    gen: grant.gen,
    micros: 1_000,
    hash: createHash('sha256').update(bytes).digest('hex'),
    bytes: bytes.length,
    output: bytes,
    failed: 0,
    named: [],
  };
}

/** What a worker writes for a range: one line for each query. */
export function linesOf(grant: Grant): string {
  let lines = '';
  for (let query = grant.from; query < grant.to; query += 1) {
    const item = query % grant.items;
    const repetition = Math.floor(query / grant.items);
    const top = [{ label: 'seven', score: 1 }];
    lines += `${JSON.stringify({ item, repetition, input: `i/${item}`, version: 1, top })}\n`;
  }
  return lines;
}
