/**
 * The stage of every trial: ten nodes, two image models warm on all of them, two folders of drawn
 * images, and how much work fills a trial on this machine.
 */
import { planWork } from '../../demo/plan.js';
import {
  DEMO_MODELS,
  type DemoModel,
  drawImages,
  measureQuery,
  readShippedModel,
} from '../../demo/prepare.js';
import { type JobVerdict, verifyJob } from '../../drills/lib/job-load.js';
import { LocalCluster, pause } from '../../drills/lib/local-cluster.js';
import type { ApiClient } from '../../src/cli/index.js';
import type { JobInfo } from '../../src/idunno/index.js';

const IMAGES = 60;
const SEED = 425;
const WARM_TIMEOUT_MS = 60_000;
/** The first job has the cluster for itself for so long: then the second one joins. */
export const HEAD_START_MS = 1_500;

export interface Work {
  readonly model: DemoModel;
  readonly repeat: number;
}

export class Stage {
  readonly cluster: LocalCluster;
  readonly client: ApiClient;
  readonly #say: (text: string) => void;
  #secondsPerQuery: readonly [number, number] = [0.01, 0.01];

  private constructor(cluster: LocalCluster, say: (text: string) => void) {
    this.cluster = cluster;
    this.client = cluster.client();
    this.#say = say;
  }

  static async open(say: (text: string) => void): Promise<Stage> {
    const cluster = await LocalCluster.create({ config: 'local-10.yaml', say });
    const stage = new Stage(cluster, say);
    try {
      await stage.#prepare();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.client.close();
    await this.cluster.stop();
  }

  async #prepare(): Promise<void> {
    this.#say(`starting ${this.cluster.nodes.length} nodes in ${this.cluster.folder}`);
    await this.cluster.startAll();
    const images = DEMO_MODELS.flatMap(({ kind }) => drawImages(kind, IMAGES, SEED));
    await this.client.filePutMany(images.map(({ name, png }) => ({ name, bytes: png })));
    for (const { name } of DEMO_MODELS) {
      await this.client.modelDeploy(await readShippedModel(name));
    }
    await this.settle();
    const signal = AbortSignal.timeout(WARM_TIMEOUT_MS);
    const [first, second] = DEMO_MODELS;
    this.#secondsPerQuery = [
      await measureQuery(this.client, first, IMAGES, signal),
      await measureQuery(this.client, second, IMAGES, signal),
    ];
    const rates = this.#secondsPerQuery.map((seconds) => (1 / seconds).toFixed(0)).join(' and ');
    this.#say(`alone on all workers, ${first.name} and ${second.name} run at ${rates} queries/s`);
  }

  /** Work that keeps both jobs busy for about so long after the second has joined. */
  plan(togetherSeconds: number): readonly [Work, Work] {
    // The costlier model goes first: alone, the cheaper one would be done before the other begins.
    const [a, b] = DEMO_MODELS;
    const [costA, costB] = this.#secondsPerQuery;
    const [first, second] = costA >= costB ? [a, b] : [b, a];
    const costs = [Math.max(costA, costB), Math.min(costA, costB)] as const;
    const headSeconds = HEAD_START_MS / 1000;
    const plan = planWork(IMAGES, costs, headSeconds + togetherSeconds, headSeconds);
    return [
      { model: first, repeat: plan.repeatFirst },
      { model: second, repeat: plan.repeatSecond },
    ];
  }

  submit({ model, repeat }: Work, batchSize: number): Promise<JobInfo> {
    return this.client.jobSubmit({
      model: model.name,
      inputs: { prefix: `${model.kind}/` },
      batchSize,
      repeat,
      label: model.kind,
      owner: 'bench',
    });
  }

  /** Waits for the end of these jobs and counts their results. */
  async verdicts(jobs: readonly JobInfo[]): Promise<JobVerdict[]> {
    return Promise.all(jobs.map((job) => verifyJob(this.client, job.id, job.queries)));
  }

  /** Everybody up and warm again, and nothing left to do. */
  async settle(): Promise<void> {
    await this.cluster.waitReady();
    const endsAt = performance.now() + WARM_TIMEOUT_MS;
    for (;;) {
      const models = await this.client.modelList();
      const warm = models.map(
        ({ workers }) => workers.filter(({ state }) => state === 'warm').length,
      );
      if (warm.every((count) => count === this.cluster.nodes.length)) return;
      if (performance.now() > endsAt) {
        throw new Error(`models are warm on ${warm.join(' and ')} workers only, after a minute`);
      }
      await pause(100);
    }
  }

  dataDirs(): string[] {
    return this.cluster.nodes.map((node) => node.dataDir);
  }
}
