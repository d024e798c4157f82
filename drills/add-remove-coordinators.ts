/**
 * Changes who the coordinators are while writes are in flight, and kills processes (kill -9) in the
 * middle of the changes: the leader, the newcomer, the one that goes. Each change must end, whatever
 * falls; what a person would do when the command fails is to look, and to say it again.
 */
import { createReport, isIdunnoError, nodeId, type Report, target } from '../src/base/index.js';
import type { ApiClient } from '../src/cli/index.js';
import { Load } from './lib/load.js';
import { LocalCluster, pause } from './lib/local-cluster.js';
import type { DrillOptions } from './main.js';

const ROUNDS_DEFAULT = 3;
/** Of five nodes. */
const COORDINATORS = 3;
const CHANGE_MS_MAX = 60_000;

type Kind = 'add' | 'remove' | 'replace';

interface Change {
  readonly kind: Kind;
  readonly nodes: readonly string[];
  readonly killed: string | undefined;
  readonly ms: number;
}

export async function addRemoveCoordinators(options: DrillOptions): Promise<Report> {
  const rounds = options.rounds ?? ROUNDS_DEFAULT;
  const config = options.config ?? 'local-5.yaml';
  const cluster = await LocalCluster.create({
    config,
    coordinators: COORDINATORS,
    say: options.say,
  });
  const client = cluster.client();
  try {
    await cluster.startAll();
    const load = new Load(client);
    load.start();
    const churn = new Churn(cluster, client, options.say);
    for (let round = 1; round <= rounds; round += 1) {
      options.say(`round ${round}/${rounds}`);
      await churn.round();
    }
    await load.stop();
    await cluster.waitReady();
    const { targets, fields, problems } = await load.verdict(cluster);
    const { changes } = churn;
    const slowest = Math.max(...changes.map(({ ms }) => ms));
    const killed = changes.filter((change) => change.killed !== undefined).length;
    const own = [
      target('change.max', 'ms', 'at-most', CHANGE_MS_MAX, slowest),
      target('killed in the middle', 'changes', 'at-least', 3 * rounds, killed),
      target(
        'coordinators at the end',
        'count',
        'equal',
        COORDINATORS,
        (await churn.voters()).length,
      ),
    ];
    return createReport(
      'add-remove-coordinators',
      [...targets, ...own],
      { ...fields, changes },
      problems,
    );
  } finally {
    await client.close();
    await cluster.stop();
  }
}

class Churn {
  readonly changes: Change[] = [];
  readonly #cluster: LocalCluster;
  readonly #client: ApiClient;
  readonly #say: (text: string) => void;

  constructor(cluster: LocalCluster, client: ApiClient, say: (text: string) => void) {
    this.#cluster = cluster;
    this.#client = client;
    this.#say = say;
  }

  async round(): Promise<void> {
    // Undisturbed: one more, and the leader goes.
    await this.#change('add', [await this.#spare()], undefined);
    await this.#change('remove', [await this.#leader()], undefined);
    // The leader falls while a newcomer is brought up; then the newcomer; then the one that goes.
    await this.#change('replace', [await this.#follower(), await this.#spare()], 'leader');
    await this.#change('add', [await this.#spare()], 'newcomer');
    await this.#change('remove', [await this.#follower()], 'goer');
    await this.#change('replace', [await this.#leader(), await this.#spare()], 'leader');
  }

  async voters(): Promise<readonly string[]> {
    for (;;) {
      const rows = await this.#rows();
      const leader = rows.find(({ role }) => role === 'leader');
      if (leader !== undefined) return leader.voters;
      await pause(50);
    }
  }

  async #change(
    kind: Kind,
    nodes: readonly [string, string?],
    victim: 'leader' | 'newcomer' | 'goer' | undefined,
  ): Promise<void> {
    const startedAt = performance.now();
    const begun = this.#attempt(kind, nodes);
    const killed = victim === undefined ? undefined : await this.#victim(victim, kind, nodes);
    if (killed !== undefined) {
      // Anywhere in the change: it takes from some ten to some hundred milliseconds.
      await pause(Math.random() * 150);
      await this.#cluster.kill(nodeId(killed));
      await pause(300);
      this.#cluster.start(nodeId(killed));
    }
    await begun;
    while (!(await this.#isDone(kind, nodes))) {
      if (performance.now() - startedAt > CHANGE_MS_MAX) break;
      await pause(100);
      await this.#attempt(kind, nodes);
    }
    const ms = Math.round(performance.now() - startedAt);
    this.changes.push({ kind, nodes: nodes.map(String), killed, ms });
    this.#say(
      `  ${kind} ${nodes.join(' by ')}${killed === undefined ? '' : `, ${killed} killed`}: ${ms} ms`,
    );
    await this.#cluster.waitReady();
  }

  /** What it says when it fails does not matter: whether it is done is looked up. */
  async #attempt(kind: Kind, nodes: readonly [string, string?]): Promise<void> {
    try {
      await this.#client.raftChange(kind, nodes, { timeoutMs: 20_000 });
    } catch (error) {
      if (!isIdunnoError(error)) throw error;
    }
  }

  async #isDone(kind: Kind, [node, by]: readonly [string, string?]): Promise<boolean> {
    const leader = (await this.#rows()).find(({ role }) => role === 'leader');
    if (leader === undefined) return false;
    const { voters, outgoing, next } = leader;
    if (outgoing.length > 0 || next.length > 0) return false;
    const hasNode = voters.includes(node);
    return kind === 'add' ? hasNode : !hasNode && (by === undefined || voters.includes(by));
  }

  async #victim(
    victim: 'leader' | 'newcomer' | 'goer',
    kind: Kind,
    [node, by]: readonly [string, string?],
  ): Promise<string> {
    if (victim === 'leader') return this.#leader();
    return victim === 'goer' || kind === 'add' ? node : (by ?? node);
  }

  async #leader(): Promise<string> {
    for (;;) {
      const leader = (await this.#rows()).find(({ role }) => role === 'leader');
      if (leader !== undefined) return leader.node;
      await pause(20);
    }
  }

  async #follower(): Promise<string> {
    const leader = await this.#leader();
    const voter = (await this.voters()).find((name) => name !== leader);
    if (voter === undefined) throw new Error('the leader is alone');
    return voter;
  }

  async #spare(): Promise<string> {
    const voters = await this.voters();
    const spare = this.#cluster.alive.find((name) => !voters.includes(name));
    if (spare === undefined) throw new Error('every node is a coordinator');
    return spare;
  }

  async #rows() {
    const asks = this.#cluster.alive.map((node) =>
      this.#client.raftStatus({ node, timeoutMs: 1_000 }),
    );
    const settled = await Promise.allSettled(asks);
    return settled.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }
}
