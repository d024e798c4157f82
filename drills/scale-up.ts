/**
 * The scaling rule on real processes: a quick model runs on every worker, then a job comes whose
 * model is warm on one worker only. The rule must see the gap and add workers until the rates are
 * within its threshold, and the log must say so. Then a third model is deployed on two workers:
 * the others must have its files and run nothing of it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawSet } from '../demo/draw/sets.js';
import { readShippedModel } from '../demo/prepare.js';
import { createReport, type NodeId, type Report, target } from '../src/base/index.js';
import type { ApiClient, PackedFile } from '../src/cli/index.js';
import type { JobExplanation, ModelInfo } from '../src/idunno/index.js';
import { LocalCluster, pause } from './lib/local-cluster.js';
import type { DrillOptions } from './main.js';

const IMAGES = 40;
/** More than is ever computed: the jobs are cancelled when enough has been seen. */
const REPEAT = 100_000;
const BATCH = 4;
const SAMPLE_MS = 500;
/** The last ten seconds must hold, as long as the rule's own window. */
const HELD_SAMPLES = 20;
const LIMIT_MS = 150_000;
const THRESHOLD = 0.2;
const THIRD_ON = 2;
const PREFETCH_LIMIT_MS = 30_000;

interface Sample {
  readonly atMs: number;
  readonly gap: number | undefined;
  readonly warm: number;
}

export async function scaleUp(options: DrillOptions): Promise<Report> {
  const config = options.config ?? 'local-5.yaml';
  const cluster = await LocalCluster.create({ config, say: options.say });
  const client = cluster.client();
  try {
    await cluster.startAll();
    const jobs = await startTwoJobs(cluster, client);
    options.say(`resnet is warm on ${cluster.nodes[0]?.name} only; both jobs run`);
    const { samples, last } = await watch(client, jobs[1], options.say);
    const logged = readDecisions(cluster, 'resnet');
    for (const line of logged) options.say(`log: ${line}`);
    for (const job of jobs) await client.jobCancel(job);
    const third = await deployThird(client, cluster.nodes.length);
    const hosts = cluster.nodes.map(
      ({ name }) => [name, hostsOf(cluster, name, third.name)] as const,
    );
    return verdict(cluster, samples, last, logged, third, hosts);
  } finally {
    await client.close();
    await cluster.stop();
  }
}

/** lenet everywhere with its job, then resnet on the first node with its own. */
async function startTwoJobs(cluster: LocalCluster, client: ApiClient): Promise<[number, number]> {
  const first = cluster.nodes[0]?.name ?? '';
  await client.modelDeploy(await readShippedModel('lenet'), { workers: 'all' });
  await client.modelDeploy(await readShippedModel('resnet'), { workers: [first] });
  const submit = async (model: string, kind: 'digits' | 'flowers') => {
    const files = [...drawSet(kind, IMAGES, 7)].map(({ png }, at) => ({
      name: `${kind}/${String(at).padStart(4, '0')}.png`,
      bytes: new Uint8Array(png),
    }));
    await client.filePutMany(files);
    const inputs = { prefix: `${kind}/` };
    const spec = { model, inputs, batchSize: BATCH, repeat: REPEAT, owner: 'drill' };
    return (await client.jobSubmit(spec)).id;
  };
  const lenet = await submit('lenet', 'digits');
  return [lenet, await submit('resnet', 'flowers')];
}

/** Until the gap has been within the threshold for the rule's window, or time is up. */
async function watch(
  client: ApiClient,
  job: number,
  say: (text: string) => void,
): Promise<{ samples: Sample[]; last: JobExplanation }> {
  const samples: Sample[] = [];
  const startMs = performance.now();
  for (;;) {
    await pause(SAMPLE_MS);
    const last = await client.jobExplain(job);
    const atMs = performance.now() - startMs;
    const { gap, warm } = last;
    if (samples.at(-1)?.warm !== warm.length) {
      say(`${(atMs / 1000).toFixed(1)} s: resnet on ${warm.length} workers, gap ${percent(gap)}`);
    }
    samples.push({ atMs, gap, warm: warm.length });
    const held = samples.slice(-HELD_SAMPLES);
    const isEven = held.every((sample) => sample.gap !== undefined && sample.gap < THRESHOLD);
    const isHeld = held.length === HELD_SAMPLES && isEven && last.decisions.length > 0;
    if (isHeld || atMs > LIMIT_MS) return { samples, last };
  }
}

function percent(gap: number | undefined): string {
  return gap === undefined ? 'unknown' : `${(gap * 100).toFixed(1)} %`;
}

/** What the nodes' logs say of decisions about a model; every coordinator logs each of them. */
function readDecisions(cluster: LocalCluster, model: string): string[] {
  const found = new Map<number, string>();
  for (const { name } of cluster.nodes) {
    const folder = join(cluster.dataDir(name), 'logs');
    for (const file of readdirSync(folder)) {
      for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
        if (!line.includes('"scaling.decision"') || !line.includes(`"model":"${model}"`)) continue;
        const entry = JSON.parse(line) as { index: number; added: string[]; reason: string };
        if (!/queries\/s/.test(entry.reason)) continue;
        found.set(entry.index, `${name}: +${entry.added.join(' +')}: ${entry.reason}`);
      }
    }
  }
  return [...found.values()];
}

/** lenet under another name, on two workers; answers when all others have its files. */
async function deployThird(client: ApiClient, nodes: number): Promise<ModelInfo> {
  const files: PackedFile[] = (await readShippedModel('lenet')).map(({ name, bytes }) => {
    if (name !== 'model.yaml') return { name, bytes };
    const text = Buffer.from(bytes)
      .toString('utf8')
      .replace(/^name: .*$/m, 'name: third');
    return { name, bytes: new Uint8Array(Buffer.from(text)) };
  });
  await client.modelDeploy(files, { workers: THIRD_ON });
  const endMs = performance.now() + PREFETCH_LIMIT_MS;
  for (;;) {
    const third = (await client.modelList()).find(({ name }) => name === 'third');
    const prefetched = third?.others.filter(({ state }) => state === 'prefetched').length ?? 0;
    const isDone = prefetched === nodes - THIRD_ON || performance.now() > endMs;
    if (third !== undefined && isDone) return third;
    await pause(SAMPLE_MS);
  }
}

/** Model hosts of a model below a node's process, from the process table: Linux. */
function hostsOf(cluster: LocalCluster, node: NodeId, model: string): number {
  const parent = String(cluster.pid(node));
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      if (stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] !== parent) return false;
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`/${model}@`);
    } catch {
      // It has just ended.
      return false;
    }
  }).length;
}

function verdict(
  cluster: LocalCluster,
  samples: readonly Sample[],
  last: JobExplanation,
  logged: readonly string[],
  third: ModelInfo,
  hosts: readonly (readonly [NodeId, number])[],
): Report {
  const gaps = samples.flatMap(({ gap }) => (gap === undefined ? [] : [gap * 100]));
  const held = gaps.slice(-HELD_SAMPLES);
  const gapAfter = held.length === 0 ? 100 : held.reduce((sum, gap) => sum + gap, 0) / held.length;
  const running = new Set(third.workers.map(({ node }) => node));
  const ranWhereGiven = hosts.filter(([node, count]) => running.has(node) && count > 0).length;
  const ranElsewhere = hosts.filter(([node, count]) => !running.has(node) && count > 0).length;
  const prefetched = third.others.filter(({ state }) => state === 'prefetched').length;
  const nodes = cluster.nodes.length;
  const targets = [
    target('gapBefore', '%', 'at-least', THRESHOLD * 100, Math.max(0, ...gaps)),
    target('gapAfter', '%', 'at-most', THRESHOLD * 100, gapAfter),
    target('workersAdded', 'workers', 'at-least', 1, last.warm.length - 1),
    target('decisionsInLog', 'decisions', 'at-least', 1, logged.length),
    target('decisionsExplained', 'decisions', 'at-least', 1, last.decisions.length),
    target('thirdRuns', 'workers', 'equal', THIRD_ON, third.workers.length),
    target('thirdHasProcesses', 'workers', 'equal', THIRD_ON, ranWhereGiven),
    target('thirdPrefetched', 'workers', 'equal', nodes - THIRD_ON, prefetched),
    target('thirdRunsElsewhere', 'workers', 'equal', 0, ranElsewhere),
  ];
  const seconds = (samples.at(-1)?.atMs ?? 0) / 1000;
  const fields = { seconds, warm: last.warm, why: last.why, decisions: last.decisions, samples };
  return createReport('scale-up', targets, fields, []);
}
