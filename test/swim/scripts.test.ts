/**
 * Golden traces: each file in test/swim/scripts tells a story in commands, and under `----` what
 * the cluster does. `REWRITE=1 node dist/test/swim/scripts.test.js` writes them anew; review the
 * difference.
 *
 *     cluster N           nodes n1 to nN that have known each other for two seconds
 *     packets on|off      show packets (idle probes that are answered are left out)
 *     run MS              let time pass
 *     crash|restart|leave|join NODE, freeze|stall NODE MS, cut NODE, mend
 *     list NODE, why NODE MEMBER
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { must, nodeId } from '../../src/base/index.js';
import { SwimCluster } from '../../src/sim/swim/index.js';
import { describeChange, describePacket, type Packet } from '../../src/swim/index.js';

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

class Script {
  #cluster: SwimCluster | undefined;
  #originMs = 0;
  #seen = 0;
  #lines: string[] = [];

  /** Carries out one command line; returns what happened. */
  run(line: string): string[] {
    const [verb = '', first = '', second = ''] = line.split(/\s+/);
    this.#lines = [];
    if (verb === 'cluster') this.#create(Number(first));
    else this.#command(this.#require(), verb, first, second);
    return this.#lines;
  }

  #require(): SwimCluster {
    return must(this.#cluster, 'a cluster; begin with "cluster N"');
  }

  #create(size: number): void {
    const cluster = new SwimCluster({ size, seed: 'script', isWarm: true, latencyMs: [1, 1] });
    cluster.run(2000);
    this.#cluster = cluster;
    this.#originMs = cluster.clock.now();
    this.#seen = cluster.observations.length;
  }

  #command(cluster: SwimCluster, verb: string, first: string, second: string): void {
    const name = () => nodeId(first);
    const others = () => cluster.names.filter((it) => it !== first);
    const commands: Readonly<Record<string, () => void>> = {
      run: () => cluster.run(Number(first)),
      packets: () => this.#showPackets(cluster, first === 'on'),
      crash: () => cluster.crash(name()),
      restart: () => cluster.restart(name()),
      leave: () => cluster.leave(name()),
      join: () => cluster.join(name()),
      freeze: () => cluster.freeze(name(), Number(second)),
      stall: () => cluster.stall(name(), Number(second)),
      cut: () => cluster.partition([name()], others()),
      mend: () => cluster.partition(),
      list: () => this.#list(cluster, first),
      why: () => this.#why(cluster, first, second),
    };
    must(commands[verb], `the command "${verb}"`)();
    this.#showChanges(cluster);
  }

  #say(atMs: number, text: string): void {
    this.#lines.push(`${(atMs - this.#originMs).toFixed(0).padStart(6)} ${text}`);
  }

  #showChanges(cluster: SwimCluster): void {
    for (const { atMs, observer, member, before } of cluster.observations.slice(this.#seen)) {
      this.#say(atMs, `${observer}: ${describeChange(member, before)}`);
    }
    this.#seen = cluster.observations.length;
    // Changes and packets are collected apart: put them in the order of time.
    const time = (line: string) => Number(line.slice(0, 6));
    this.#lines = this.#lines
      .map((line, index) => ({ line, index }))
      .sort((a, b) => time(a.line) - time(b.line) || a.index - b.index)
      .map(({ line }) => line);
  }

  #showPackets(cluster: SwimCluster, isOn: boolean): void {
    cluster.onPacket = undefined;
    if (!isOn) return;
    cluster.onPacket = (from, to, packet, isLost) => {
      if (isIdle(packet) && !isLost) return;
      const loss = isLost ? ' (lost)' : '';
      this.#say(cluster.clock.now(), `${from} → ${to}: ${describePacket(packet)}${loss}`);
    };
  }

  #list(cluster: SwimCluster, observer: string): void {
    for (const member of cluster.core(nodeId(observer)).members()) {
      const stalled = member.stalledMs > 0 ? ` stalled ${Math.round(member.stalledMs)}ms` : '';
      const identity = `${member.name}/${member.bootEpoch} i${member.incarnation}`;
      this.#lines.push(`       ${identity} ${member.state}${stalled}`);
    }
  }

  #why(cluster: SwimCluster, observer: string, name: string): void {
    for (const { atMs, text } of cluster.core(nodeId(observer)).why(nodeId(name))) {
      this.#say(atMs, text);
    }
  }
}

function isIdle(packet: Packet): boolean {
  return packet.rumours.length === 0 && ['ping', 'ack'].includes(packet.message.type);
}

/** The script with fresh output below each block of commands. */
function replay(text: string): string {
  const script = new Script();
  const blocks = text.trimEnd().split(/\n\n+/);
  const fresh = blocks.map((block) => {
    const lines = block.split('\n');
    const end = lines.indexOf('----');
    const commands = end < 0 ? lines : lines.slice(0, end);
    const isComment = commands.every((line) => line.startsWith('#'));
    if (isComment) return block;
    const output = commands
      .filter((line) => !line.startsWith('#'))
      .flatMap((line) => script.run(line));
    return [...commands, '----', ...output].join('\n');
  });
  return `${fresh.join('\n\n')}\n`;
}

const folder = join(repositoryRoot(), 'test/swim/scripts');
for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.txt'))
  .sort()) {
  t.test(`the script ${file} runs as written`, async (t) => {
    const path = join(folder, file);
    const text = readFileSync(path, 'utf8');
    const fresh = replay(text);
    if (process.env['REWRITE'] === '1') writeFileSync(path, fresh);
    else t.equal(fresh, text);
  });
}
