/**
 * Damages the files of one coordinator of three, round after round: a byte flipped or a tail cut in
 * any file of its log, state, watermark or identity, at rest or after a kill -9 in the middle of
 * writes, and starts it again. Each time the damage is found, or proven harmless by an equal sum
 * over all rows; the node heals without hands; nothing acknowledged is lost.
 *
 * Every tenth round the whole folder is emptied instead: the node must not vote as its old self.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  createReport,
  createSeededRng,
  isIdunnoError,
  must,
  type NodeId,
  type Report,
  type Rng,
  target,
} from '../src/base/index.js';
import type { ApiClient, StorageHealth } from '../src/cli/index.js';
import { type Damage, damageOneFile, PLACES } from './lib/damage.js';
import { LocalCluster, pause } from './lib/local-cluster.js';
import { checkSettings, SettingsWriter } from './lib/oracle.js';
import type { DrillOptions } from './main.js';

interface Round {
  readonly victim: NodeId;
  readonly mode: 'at rest' | 'while writing' | 'wiped';
  readonly damage: Damage | undefined;
  /** An event in the log of the damaged node, or none: then the sums were equal. */
  readonly found: string | undefined;
  readonly isHealed: boolean;
  /** Of a wiped round: it took part under its former name. */
  readonly votedAsOldSelf: boolean;
  readonly healMs: number;
}

const ROUNDS_DEFAULT = 50;
const WRITERS = 2;
const WIPE_EVERY = 10;
const HEAL_TIMEOUT_MS = 30_000;
const FOUND_EVENTS = [
  'raft.log-damaged',
  'raft.log-moved-aside',
  'raft.watermark-repaired',
  'raft.boot-file-damaged',
  'raft.suspect',
  'raft.wiped',
  'store.state-damaged',
  'store.state-differs',
  'node.files-repaired',
];

export async function corruptLog(options: DrillOptions): Promise<Report> {
  const rounds = options.rounds ?? ROUNDS_DEFAULT;
  const config = options.config ?? 'local-3.yaml';
  const cluster = await LocalCluster.create({ config, say: options.say });
  const client = cluster.client();
  const seed = `corrupt ${Date.now()}`;
  options.say(`seed "${seed}"`);
  const rng = createSeededRng(seed);
  let isKept = false;
  try {
    await cluster.startAll();
    const writers = Array.from(
      { length: WRITERS },
      (_, i) => new SettingsWriter(client, `c${i}`, 2),
    );
    for (const writer of writers) writer.start();
    const results: Round[] = [];
    for (let nth = 1; nth <= rounds; nth += 1) {
      const round = await (nth % WIPE_EVERY === 0
        ? wipeOnce(cluster, rng)
        : damageOnce(cluster, rng, nth));
      results.push(round);
      options.say(`round ${nth}/${rounds}: ${describeRound(round)}`);
      if (!round.isHealed) break;
    }
    await Promise.all(writers.map((writer) => writer.stop()));
    isKept = results.some((round) => !round.isHealed);
    return await verdict(cluster, results, rounds, writers, seed);
  } finally {
    await client.close();
    await cluster.stop({ keepFolder: isKept });
    if (isKept) options.say(`the folder is kept: ${cluster.folder}`);
  }
}

async function damageOnce(cluster: LocalCluster, rng: Rng, nth: number): Promise<Round> {
  const victim = pick(cluster, rng);
  const isAtRest = rng.int(2) === 0;
  if (isAtRest) await cluster.stopNode(victim);
  else await cluster.kill(victim);
  const place = PLACES[nth % PLACES.length] ?? 'log';
  const damage = damageOneFile(cluster.dataDir(victim), place, rng);
  const mode = isAtRest ? ('at rest' as const) : ('while writing' as const);
  const healed = await startAndHeal(cluster, victim);
  return { victim, mode, damage, votedAsOldSelf: false, ...healed };
}

/**
 * Starts it with nothing. It has to wait as somebody new until the leader has taken its old vote
 * away, and gets a vote when it has caught up.
 */
async function wipeOnce(cluster: LocalCluster, rng: Rng): Promise<Round> {
  const victim = pick(cluster, rng);
  await cluster.stopNode(victim);
  const folder = cluster.dataDir(victim);
  const before = incarnationOf(folder);
  for (const name of readdirSync(folder)) {
    if (name !== 'logs') rmSync(join(folder, name), { recursive: true, force: true });
  }
  const lines = eventsOf(folder).length;
  const healed = await startAndHeal(cluster, victim);
  const events = eventsOf(folder).slice(lines);
  const trustedAt = events.indexOf('raft.trusted');
  const untrusted = trustedAt < 0 ? events : events.slice(0, trustedAt);
  const isOldSelf = incarnationOf(folder) === before;
  const votedAsOldSelf = isOldSelf || hasVoted(untrusted);
  const found = healed.isHealed ? 'let in as somebody new' : 'still kept out';
  return { victim, mode: 'wiped', damage: undefined, votedAsOldSelf, ...healed, found };
}

/** Until it is trusted and its rows add up to what the others' do. */
async function startAndHeal(
  cluster: LocalCluster,
  victim: NodeId,
): Promise<Pick<Round, 'found' | 'isHealed' | 'healMs'>> {
  const folder = cluster.dataDir(victim);
  const lines = eventsOf(folder).length;
  const startedAt = performance.now();
  cluster.start(victim);
  const client = cluster.client();
  try {
    for (;;) {
      const isHealed = await isWhole(cluster, client, victim);
      const healMs = performance.now() - startedAt;
      if (isHealed || healMs > HEAL_TIMEOUT_MS) {
        const found = eventsOf(folder)
          .slice(lines)
          .find((event) => FOUND_EVENTS.includes(event));
        return { found, isHealed, healMs };
      }
      await pause(50);
    }
  } finally {
    await client.close();
  }
}

/** Trusted, and of equal sum with another coordinator at an equal index, while writes run. */
async function isWhole(cluster: LocalCluster, client: ApiClient, victim: NodeId): Promise<boolean> {
  if (!cluster.alive.includes(victim)) return false;
  const others = cluster.alive.filter((name) => name !== victim);
  if (!(await areAllVoters(cluster, client))) return false;
  const own = new Map<number, string>();
  const theirs = new Map<number, string>();
  for (let tries = 0; tries < 40; tries += 1) {
    const [health, ...rest] = await Promise.all(
      [victim, ...others].map((name) => healthOf(client, name)),
    );
    if (health === undefined || health.phase !== 'running') return false;
    if (health.doubt !== undefined || health.index === 0) return false;
    own.set(health.index, health.sum);
    for (const other of rest) if (other !== undefined) theirs.set(other.index, other.sum);
    for (const [index, sum] of own) {
      const other = theirs.get(index);
      if (other !== undefined) return other === sum;
    }
  }
  return false;
}

/** A wiped one is out until it has caught up; the next round must not meet a smaller group. */
async function areAllVoters(cluster: LocalCluster, client: ApiClient): Promise<boolean> {
  const { coordinators } = cluster.config;
  try {
    const { leader } = await client.status({ timeoutMs: 1_000 });
    if (leader === undefined) return false;
    const status = await client.raftStatus({ node: leader, timeoutMs: 1_000 });
    return (
      status.outgoing.length === 0 && coordinators.every((name) => status.voters.includes(name))
    );
  } catch (error) {
    if (isIdunnoError(error)) return false;
    throw error;
  }
}

async function healthOf(client: ApiClient, node: NodeId): Promise<StorageHealth | undefined> {
  try {
    return await client.raftStorage({ node, timeoutMs: 1_000 });
  } catch (error) {
    if (isIdunnoError(error)) return undefined;
    throw error;
  }
}

function pick(cluster: LocalCluster, rng: Rng): NodeId {
  const { coordinators } = cluster.config;
  return must(coordinators[rng.int(coordinators.length)], 'a coordinator');
}

function incarnationOf(folder: string): string {
  const path = join(folder, 'raft/boot.json');
  if (!existsSync(path)) return 'none';
  return (JSON.parse(readFileSync(path, 'utf8')) as { incarnation: string }).incarnation;
}

interface Line {
  readonly event: string;
  readonly role?: string;
}

function linesOf(folder: string): Line[] {
  const logs = join(folder, 'logs');
  if (!existsSync(logs)) return [];
  // A larger number is newer, and the one without a number is the newest.
  const age = (name: string): number => Number(/^node\.log\.(\d+)$/.exec(name)?.[1] ?? 'Infinity');
  return readdirSync(logs)
    .filter((name) => /^node\.log(\.\d+)?$/.test(name))
    .sort((a, b) => age(a) - age(b))
    .flatMap((name) => readFileSync(join(logs, name), 'utf8').split('\n'))
    .flatMap((line) =>
      line.startsWith('{') && line.endsWith('}') ? [JSON.parse(line) as Line] : [],
    );
}

function eventsOf(folder: string): string[] {
  return linesOf(folder).map(({ event, role }) =>
    role === undefined ? event : `${event} ${role}`,
  );
}

/** It campaigned or led. That it granted votes would show as an election that the others won by it. */
function hasVoted(events: readonly string[]): boolean {
  return events.some((event) => /^raft\.role (pre-candidate|candidate|leader)$/.test(event));
}

function describeRound(round: Round): string {
  const { victim, mode, damage, found, isHealed, healMs } = round;
  const what = damage === undefined ? 'folder emptied' : `${damage.file}: ${damage.what}`;
  const outcome = isHealed ? `whole after ${Math.round(healMs)} ms` : 'NOT HEALED';
  const verdict = found ?? (isHealed ? 'harmless, sums are equal' : 'not found');
  return `${victim} ${mode}, ${what}; ${verdict}; ${outcome}`;
}

async function verdict(
  cluster: LocalCluster,
  results: readonly Round[],
  rounds: number,
  writers: readonly SettingsWriter[],
  seed: string,
): Promise<Report> {
  const records = writers.flatMap((writer) => writer.records);
  const settings = await checkSettings(cluster, records);
  const wiped = results.filter((round) => round.mode === 'wiped');
  const times = results.map((round) => round.healMs);
  const targets = [
    target('rounds', 'rounds', 'at-least', rounds, results.length),
    target('lost', 'writes', 'equal', 0, settings.lost),
    target('duplicated', 'writes', 'equal', 0, settings.duplicated),
    target('notHealed', 'rounds', 'equal', 0, results.filter((r) => !r.isHealed).length),
    target('votedAsOldSelf', 'rounds', 'equal', 0, wiped.filter((r) => r.votedAsOldSelf).length),
  ];
  const fields = {
    seed,
    acknowledged: records.filter((record) => record.ackedAt !== undefined).length,
    unknown: settings.unknown,
    foundByItself: results.filter((r) => r.found !== undefined && r.mode !== 'wiped').length,
    harmless: results.filter((r) => r.found === undefined && r.isHealed).length,
    wiped: wiped.length,
    healMs: { max: Math.max(...times), mean: times.reduce((a, b) => a + b, 0) / times.length },
    results,
  };
  return createReport('corrupt-log', targets, fields, settings.problems);
}
