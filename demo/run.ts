/**
 * The film itself: boot, store, deploy, two jobs, kill the leader, bring it back, prove that
 * nothing was lost.
 */
import { LocalCluster, pause } from '../drills/lib/local-cluster.js';
import {
  checkFiles,
  checkSettings,
  type FileRecord,
  FileWriter,
  nextAck,
  SettingsWriter,
} from '../drills/lib/oracle.js';
import { nodeId } from '../src/base/index.js';
import type { ApiClient } from '../src/cli/index.js';
import type { JobInfo } from '../src/idunno/index.js';
import { type CheckedJob, checkJob } from './check.js';
import { type DemoPlan, planWork } from './plan.js';
import {
  DEMO_MODELS,
  type DemoImage,
  type DemoModel,
  drawImages,
  measureQuery,
  readShippedModel,
  waitForJob,
} from './prepare.js';
import type { Screen } from './screen.js';
import { Timeline } from './timeline.js';

export interface DemoOptions {
  readonly seed: number;
  /** Images per job. */
  readonly images: number;
  /** How long the jobs shall take, about. */
  readonly workSeconds: number;
}

export interface DemoResult {
  readonly lostWrites: number;
  readonly duplicatedWrites: number;
  readonly missingResults: number;
  readonly duplicateResults: number;
  readonly acknowledgedWrites: number;
  readonly fileVersions: number;
  readonly bootMs: number;
  readonly storedFilesPerSecond: number;
  readonly deployMs: number;
  readonly secondJobFirstResultMs: number;
  readonly failover: { readonly nextWriteMs: number; readonly nextTaskMs: number };
  /** (max − min) / max of both jobs' queries while both ran. */
  readonly rateGap: number;
  readonly itemsPerSecond: number;
  readonly plan: DemoPlan;
  readonly jobs: readonly CheckedJob[];
  readonly timeline: Timeline;
  readonly problems: readonly string[];
}

interface Film {
  readonly jobs: readonly [JobInfo, JobInfo];
  readonly failover: { nextWriteMs: number; nextTaskMs: number };
  readonly timeline: Timeline;
}

const HEAD_START_MS = 3000;
const RESTART_AFTER_MS = 2000;
const SAMPLE_EVERY_MS = 200;

export async function runDemo(
  options: DemoOptions,
  screen: Screen,
  signal: AbortSignal,
): Promise<DemoResult> {
  const cluster = await LocalCluster.create({ config: 'local-5.yaml', say: (t) => screen.say(t) });
  const client = cluster.client();
  // Whatever waits for an answer ends at once.
  signal.addEventListener('abort', () => void client.close(), { once: true });
  try {
    return await new Demo(options, screen, signal, cluster, client).run();
  } finally {
    screen.endLive();
    await client.close();
    await cluster.stop();
  }
}

class Demo {
  readonly #options: DemoOptions;
  readonly #screen: Screen;
  readonly #signal: AbortSignal;
  readonly #cluster: LocalCluster;
  readonly #client: ApiClient;
  readonly #stored: FileRecord[] = [];

  constructor(
    options: DemoOptions,
    screen: Screen,
    signal: AbortSignal,
    cluster: LocalCluster,
    client: ApiClient,
  ) {
    this.#options = options;
    this.#screen = screen;
    this.#signal = signal;
    this.#cluster = cluster;
    this.#client = client;
  }

  async run(): Promise<DemoResult> {
    const bootMs = await timed(() => this.#boot());
    const images = DEMO_MODELS.map((model) =>
      drawImages(model.kind, this.#options.images, this.#options.seed),
    );
    const storeMs = await timed(() => this.#store(images.flat()));
    const deployMs = await timed(() => this.#deploy());
    const { order, plan } = await this.#plan();

    const settings = new SettingsWriter(this.#client, 'demo', 5);
    const files = new FileWriter(this.#client, {
      prefix: 'demo-writes',
      names: 5,
      bytesMax: 65_536,
      filesMax: 100_000,
      pauseMs: 100,
    });
    settings.start();
    files.start();
    let film: Film;
    try {
      film = await this.#film(order, plan, settings);
    } finally {
      await Promise.all([settings.stop(), files.stop()]);
    }
    this.#screen.endLive();
    return this.#check(film, order, plan, images, settings, files, { bootMs, storeMs, deployMs });
  }

  async #boot(): Promise<void> {
    this.#screen.say(`starting ${this.#cluster.nodes.length} nodes in ${this.#cluster.folder}`);
    await this.#cluster.startAll();
    this.#signal.throwIfAborted();
    const status = await this.#client.status();
    this.#screen.say(`all nodes are up, ${status.leader} leads`);
  }

  async #store(images: readonly DemoImage[]): Promise<void> {
    this.#screen.say(`storing ${images.length} drawn images, four copies each`);
    const results = await this.#client.filePutMany(
      images.map((image) => ({ name: image.name, bytes: image.png })),
    );
    const { createHash } = await import('node:crypto');
    const byName = new Map(images.map((image) => [image.name, image]));
    for (const { name, version, bytes } of results) {
      const png = byName.get(name)?.png ?? new Uint8Array();
      const sha256 = createHash('sha256').update(png).digest('hex');
      this.#stored.push({ name, version, sha256, bytes, ackedAt: performance.now() });
    }
    this.#signal.throwIfAborted();
  }

  async #deploy(): Promise<void> {
    for (const model of DEMO_MODELS) {
      const info = await this.#client.modelDeploy(await readShippedModel(model.name));
      this.#signal.throwIfAborted();
      const warm = info.workers.filter((worker) => worker.state === 'warm').length;
      this.#screen.say(`${model.name} is ${info.state}, warm on ${warm} workers`);
    }
  }

  /** The costlier model goes first: alone, the cheaper one would be done before the other begins. */
  async #plan(): Promise<{ order: readonly [DemoModel, DemoModel]; plan: DemoPlan }> {
    this.#screen.say('measuring one query of each model');
    const costs: [number, number] = [0, 0];
    for (const [i, model] of DEMO_MODELS.entries()) {
      costs[i === 0 ? 0 : 1] = await measureQuery(
        this.#client,
        model,
        this.#options.images,
        this.#signal,
      );
    }
    const [a, b] = DEMO_MODELS;
    const swapped = costs[1] > costs[0];
    const order: readonly [DemoModel, DemoModel] = swapped ? [b, a] : [a, b];
    const plan = planWork(
      this.#options.images,
      swapped ? [costs[1], costs[0]] : costs,
      this.#options.workSeconds,
      HEAD_START_MS / 1000,
    );
    return { order, plan };
  }

  async #submit(model: DemoModel, repeat: number, plan: DemoPlan): Promise<JobInfo> {
    const job = await this.#client.jobSubmit({
      model: model.name,
      inputs: { prefix: `${model.kind}/` },
      batchSize: plan.batchSize,
      repeat,
      label: model.kind,
      owner: 'demo',
    });
    this.#screen.say(
      `job ${job.id}: ${model.name} over ${job.items} images × ${repeat} = ${job.queries} queries, batches of ${plan.batchSize}`,
    );
    return job;
  }

  async #film(
    order: readonly [DemoModel, DemoModel],
    plan: DemoPlan,
    settings: SettingsWriter,
  ): Promise<Film> {
    const timeline = new Timeline();
    const watching = new AbortController();
    const first = await this.#submit(order[0], plan.repeatFirst, plan);
    const ids = [first.id];
    const watch = this.#watch(timeline, ids, AbortSignal.any([watching.signal, this.#signal]));
    try {
      await pauseUnless(HEAD_START_MS, this.#signal);
      const second = await this.#submit(order[1], plan.repeatSecond, plan);
      ids.push(second.id);
      timeline.mark(`${order[1].name} joins`);
      await pauseUnless(
        ((this.#options.workSeconds - HEAD_START_MS / 1000) * 1000) / 2,
        this.#signal,
      );
      const failover = await this.#killLeader(timeline, settings);
      const done = await Promise.all(ids.map((id) => waitForJob(this.#client, id, this.#signal)));
      timeline.add(done);
      const [firstDone, secondDone] = done;
      if (firstDone === undefined || secondDone === undefined) throw new Error('a job is missing');
      return { jobs: [firstDone, secondDone], failover, timeline };
    } finally {
      watching.abort();
      await watch;
    }
  }

  async #killLeader(
    timeline: Timeline,
    settings: SettingsWriter,
  ): Promise<{ nextWriteMs: number; nextTaskMs: number }> {
    const { leader } = await this.#client.status();
    const name = nodeId(leader ?? this.#cluster.nodes[0]?.name ?? 'n1');
    const killedAt = performance.now();
    const gone = this.#cluster.kill(name);
    timeline.mark(`${name} killed`, killedAt);
    this.#screen.say(`killed ${name}, the leader (kill -9)`);
    const nextTaskMs = (await this.#nextTask()) - killedAt;
    await gone;
    const ack = await nextAck([settings], killedAt, this.#signal);
    await pauseUnless(Math.max(0, RESTART_AFTER_MS - (performance.now() - killedAt)), this.#signal);
    this.#cluster.start(name);
    timeline.mark(`${name} back`);
    this.#screen.say(`started ${name} again`);
    return { nextWriteMs: ack - killedAt, nextTaskMs };
  }

  /**
   * When a task was seen to finish under the next leader: the first answer after the kill tells the
   * count that survived, the first larger count a task accepted since.
   */
  async #nextTask(): Promise<number> {
    let before: number | undefined;
    for (;;) {
      this.#signal.throwIfAborted();
      const jobs = await this.#client.jobList();
      const done = jobs.reduce((sum, job) => sum + job.tasksDone, 0);
      if (before !== undefined && done > before) return performance.now();
      if (jobs.every((job) => job.finishedMs !== undefined)) return Number.NaN;
      before ??= done;
      await pause(2);
    }
  }

  async #watch(timeline: Timeline, ids: readonly number[], signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const jobs = (await this.#client.jobList()).filter((job) => ids.includes(job.id));
        timeline.add(jobs);
        const [fairness, status] = await Promise.all([
          this.#client.jobFairness(),
          this.#client.status(),
        ]);
        if (signal.aborted) return;
        this.#screen.update({
          jobs: jobs.map((job) => ({ job, rate: timeline.rates(job.id).at(-1)?.y ?? 0 })),
          gap: fairness.gap,
          leader: status.leader,
          nodesUp: status.nodes.filter((node) => node.status === 'up').length,
          nodes: status.nodes.length,
        });
      } catch {
        // The picture may miss a moment; the checks at the end may not.
      }
      await pause(SAMPLE_EVERY_MS);
    }
  }

  async #check(
    film: Film,
    order: readonly [DemoModel, DemoModel],
    plan: DemoPlan,
    images: readonly (readonly DemoImage[])[],
    settings: SettingsWriter,
    files: FileWriter,
    times: { bootMs: number; storeMs: number; deployMs: number },
  ): Promise<DemoResult> {
    this.#screen.say('checking: every result, every acknowledged write, every label');
    await this.#cluster.waitReady();
    const jobs: CheckedJob[] = [];
    for (const [i, job] of film.jobs.entries()) {
      const model = order[i] ?? DEMO_MODELS[0];
      const drawn = images[DEMO_MODELS.indexOf(model)] ?? [];
      jobs.push(await checkJob(this.#client, model, job, drawn));
    }
    const fileRecords = [...this.#stored, ...files.records];
    const settingsVerdict = await checkSettings(this.#cluster, settings.records);
    const filesVerdict = await checkFiles(this.#cluster, fileRecords, { everyNode: true });
    const [first, second] = film.jobs;
    const seconds =
      (Math.max(first.finishedMs ?? 0, second.finishedMs ?? 0) - first.createdMs) / 1000;
    return {
      lostWrites: settingsVerdict.lost + filesVerdict.lost,
      duplicatedWrites: settingsVerdict.duplicated + filesVerdict.duplicated,
      missingResults: sum(jobs.map((job) => job.missingResults)),
      duplicateResults: sum(jobs.map((job) => job.duplicateResults)),
      acknowledgedWrites: settings.records.filter((r) => r.ackedAt !== undefined).length,
      fileVersions: fileRecords.filter((r) => r.version !== undefined).length,
      bootMs: times.bootMs,
      storedFilesPerSecond: (this.#stored.length / times.storeMs) * 1000,
      deployMs: times.deployMs,
      secondJobFirstResultMs: (second.firstResultMs ?? Number.NaN) - second.createdMs,
      failover: film.failover,
      rateGap: film.timeline.gap(first.id, second.id) ?? Number.NaN,
      itemsPerSecond: (first.queriesDone + second.queriesDone) / seconds,
      plan,
      jobs,
      timeline: film.timeline,
      problems: [
        ...settingsVerdict.problems,
        ...filesVerdict.problems,
        ...jobs.flatMap((job) => job.problems),
      ],
    };
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

async function pauseUnless(ms: number, signal: AbortSignal): Promise<void> {
  const endsAt = performance.now() + ms;
  while (performance.now() < endsAt) {
    signal.throwIfAborted();
    await pause(Math.min(100, Math.max(1, endsAt - performance.now())));
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
