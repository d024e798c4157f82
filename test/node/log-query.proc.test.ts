/**
 * Log queries on real processes: a node is killed in the middle of a query, and one is frozen; what
 * a person mistypes; a node that has left; no leader.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadClusterConfig } from '../../src/base/index.js';
import { connectConfig } from '../../src/cli/target.js';
import type { LogQuery, NodeReport } from '../../src/logs/index.js';
import { createTestCluster, type TestCluster } from './support.js';

const EVERYWHERE: LogQuery = {
  pattern: '"event":"test[.]filler"',
  syntax: 'extended',
  ignoreCase: false,
  invert: false,
  countOnly: false,
  max: null,
};
/** Enough that a node cannot have sent all of it before anybody reads. */
const FILLER_LINES = 25_000;

function pidOf(cluster: TestCluster, name: string): number {
  const text = readFileSync(join(cluster.dataDir(name), 'up.pid'), 'utf8');
  const pid = Number(/\d+/.exec(text)?.[0]);
  if (!(pid > 1)) throw new Error(`no process id of ${name} in ${text}`);
  return pid;
}

function fill(cluster: TestCluster): void {
  for (const name of cluster.names) {
    const lines = Array.from(
      { length: FILLER_LINES },
      (_, n) =>
        `{"level":"info","event":"test.filler","node":"${name}","n":${n},"pad":"${'x'.repeat(600)}"}`,
    );
    appendFileSync(join(cluster.dataDir(name), 'logs/node.log'), `${lines.join('\n')}\n`);
  }
}

/** Asks `gateway`; `onLine` may do something in the middle. */
async function ask(cluster: TestCluster, gateway: string, onLine: (count: number) => void) {
  const config = await loadClusterConfig(cluster.config);
  const target = { config: cluster.config, node: gateway, connect: undefined, timeoutMs: 60_000 };
  const client = await connectConfig(config, target);
  const lines = new Map<string, string[]>(cluster.names.map((name) => [name, []]));
  const reports = new Map<string, NodeReport>();
  let count = 0;
  try {
    for await (const item of client.logsGrep(EVERYWHERE, { budgetMs: 60_000 })) {
      if (item.kind === 'report') reports.set(item.node, item);
      else {
        lines.get(item.node)?.push(Buffer.from(item.bytes).toString());
        count += 1;
        onLine(count);
      }
    }
  } finally {
    await client.close();
  }
  return { lines, reports };
}

function isWhole(lines: readonly string[] | undefined): boolean {
  if (lines?.length !== FILLER_LINES) return false;
  return lines.every((line, at) => line.includes(`"n":${at},`));
}

t.test('a node is killed in the middle of a query, then the one that was asked', async (t) => {
  const cluster = await createTestCluster(3);
  t.teardown(() => cluster.remove());
  t.equal((await cluster.run(['up'])).code, 0);
  fill(cluster);

  const found = await ask(cluster, 'n1', (count) => {
    if (count === 1_000) process.kill(pidOf(cluster, 'n3'), 'SIGKILL');
  });
  t.ok(isWhole(found.lines.get('n1')), 'complete for the node that was asked');
  t.ok(isWhole(found.lines.get('n2')), 'complete for the other that lives');
  const dead = found.lines.get('n3') ?? [];
  t.ok(dead.length < FILLER_LINES, `${dead.length} lines came of the dead one`);
  t.match(found.reports.get('n3'), { status: 'down', matches: dead.length });
  t.match(found.reports.get('n1'), { status: 'ok', matches: FILLER_LINES });

  const ran = await cluster.run(['logs', 'grep', '-c', 'test.filler', '--node', 'n2']);
  t.equal(ran.code, 6, 'the exit status says partial');
  t.match(ran.stderr, /partial: lines are missing of n3 \(.*all others are complete/);
  t.match(ran.stdout, new RegExp(`n1 +ok +${FILLER_LINES} `));
  t.match(ran.stdout, /n3 +(down|silent) +0 /);
  t.match(ran.stdout, new RegExp(`${2 * FILLER_LINES} lines in the logs of 3 nodes`));

  // The node that was asked is killed in the middle: another one goes on.
  const second = await ask(cluster, 'n1', (count) => {
    if (count === 1_000) process.kill(pidOf(cluster, 'n1'), 'SIGKILL');
  });
  t.ok(isWhole(second.lines.get('n2')), 'each line once, in order, though from two answers');
  t.match(second.reports.get('n1'), { status: 'down' });
  t.match(second.reports.get('n2'), { status: 'ok', matches: FILLER_LINES });
  t.ok(['down', 'silent'].includes(second.reports.get('n3')?.status ?? ''));
});

t.test('a frozen node, a node that has left, no leader, and mistakes', async (t) => {
  const cluster = await createTestCluster(3);
  t.teardown(() => cluster.remove());
  t.equal((await cluster.run(['up'])).code, 0);

  const mistakes: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['grep'], 2, /missing required argument 'pattern'/],
    [['grep', 'a', 'b'], 2, /too many arguments/],
    [['grep', '-E', 'a('], 2, /the pattern cannot be used: a \( without its \)/],
    [['grep', '-E', '(a)\\1'], 2, /back-references/],
    [['grep', '-m', '0', 'a'], 2, /--max-count takes a whole number/],
    [['grep', '-m', 'x', 'a'], 2, /--max-count takes a whole number/],
    [['grep', '-E', '-F', 'a'], 2, /one of -F and -E/],
    [['grep', 'a', '--only', 'n9'], 3, /no node "n9"/],
    [['grep', 'a', '--only', 'n1,,n2'], 2, /--only takes names/],
    [['clear'], 2, /Name nodes, or say --all/],
    [['clear', 'n1', '--all', '--yes'], 2, /Name nodes, or say --all/],
    [['clear', 'n1'], 2, /say --yes/],
    [['clear', 'n9', '--yes'], 3, /no node "n9"/],
  ];
  for (const [args, code, text] of mistakes) {
    const ran = await cluster.run(['logs', ...args]);
    t.equal(ran.code, code, args.join(' '));
    t.match(ran.stderr, text);
    t.equal(ran.stdout, '');
  }
  const none = await cluster.run(['logs', 'grep', 'no such thing is there']);
  t.equal(none.code, 1, 'nothing was found');

  process.kill(pidOf(cluster, 'n2'), 'SIGSTOP');
  const frozen = await cluster.run(['logs', 'grep', '-F', '"node.start"', '--node', 'n1']);
  process.kill(pidOf(cluster, 'n2'), 'SIGCONT');
  t.equal(frozen.code, 6);
  t.match(frozen.stdout, /^n1:.*node\.start/m);
  t.match(frozen.stdout, /^n3:.*node\.start/m);
  t.match(frozen.stderr, /partial: lines are missing of n2 /);

  t.equal((await cluster.run(['member', 'leave', 'n3', '--yes'])).code, 0);
  const without = await cluster.run(['classic', 'grep', '-c', 'node.start', '--node', 'n1']);
  t.match(without.stdout, /2 lines in the logs of 2 nodes/);
  const left = await cluster.run(['logs', 'grep', 'a', '--only', 'n3']);
  t.equal(left.code, 1);
  t.match(left.stderr, /n3 has left the cluster/);
  const throughLeft = await cluster.run(['logs', 'grep', '-c', 'node.start', '--node', 'n3']);
  t.match(throughLeft.stdout, /2 lines in the logs of 2 nodes/, 'it may be asked, not searched');

  process.kill(pidOf(cluster, 'n1'), 'SIGKILL');
  process.kill(pidOf(cluster, 'n2'), 'SIGKILL');
  t.equal((await cluster.run(['member', 'join', 'n3'])).code, 0);
  const alone = await cluster.run(['shell', '--node', 'n3'], {
    stdin: '$grep -E "node[.]start"\n',
  });
  t.equal(alone.code, 6, 'without a leader, and without the others');
  t.match(alone.stdout, /^n3:.*node\.start/m);
  t.match(alone.stdout, /n3 +ok +1 /);
  t.match(alone.stderr, /n1 \(.*n2 \(/);
  const cleared = await cluster.run(['logs', 'clear', 'n3', '--yes', '--node', 'n3']);
  t.equal(cleared.code, 0);
  t.match(cleared.stdout, /n3 +cleared/);
  const after = await cluster.run(['logs', 'grep', 'node.start', '--only', 'n3', '--node', 'n3']);
  t.equal(after.code, 1);
});
