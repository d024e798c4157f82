/**
 * Every way in which the links between three nodes can be open or cut, each direction by itself:
 * wherever two nodes can talk to each other there must be a leader that commits, also when the
 * third one can only speak, or only listen (the case that took a large provider's etcd down).
 */
import t from 'tap';
import { createSeededRng } from '../../src/base/index.js';
import { Harness, TIMING } from './harness.js';

const DIRECTIONS = [
  [1, 2],
  [2, 1],
  [1, 3],
  [3, 1],
  [2, 3],
  [3, 2],
] as const;

type IsOpen = (from: number, to: number) => boolean;

/** Runs the cluster for a while: 1 ms per message, timers as they want to ring. */
function run(cluster: Harness, isOpen: IsOpen, forMs: number): void {
  const until = cluster.now + forMs;
  const numbers = [1, 2, 3];
  while (cluster.now < until) {
    const due = Math.min(...numbers.map((number) => cluster.core(number).nextDeadline()));
    cluster.now = cluster.packets.length > 0 ? cluster.now + 1 : Math.max(cluster.now, due);
    cluster.take(({ from, to }) => !isOpen(cluster.numberOf(from), cluster.numberOf(to)));
    cluster.deliver();
    for (const number of numbers) {
      if (cluster.core(number).nextDeadline() <= cluster.now)
        cluster.step(number, { kind: 'tick' });
    }
  }
}

function commits(cluster: Harness, isOpen: IsOpen): boolean {
  const before = Math.max(...[1, 2, 3].map((number) => cluster.status(number).commit));
  for (const number of [1, 2, 3]) cluster.propose(number, 'x');
  run(cluster, isOpen, TIMING.electionMaxMs);
  return [1, 2, 3].some((number) => cluster.status(number).commit > before);
}

t.test('all 64 combinations of cut links, from the start and after a healthy one', (t) => {
  for (let bits = 0; bits < 64; bits += 1) {
    const open = new Set(DIRECTIONS.filter((_, at) => (bits >> at) & 1).map(String));
    const isOpen: IsOpen = (from, to) => open.has(String([from, to]));
    const hasPair = DIRECTIONS.some(([from, to]) => isOpen(from, to) && isOpen(to, from));
    for (const isHealthyFirst of [false, true]) {
      const cluster = new Harness(3, { rng: createSeededRng(`links-${bits}`) });
      if (isHealthyFirst) run(cluster, () => true, 1_000);
      run(cluster, isOpen, 5_000);
      const links = [...open].join(' ');
      t.equal(commits(cluster, isOpen), hasPair, `open: ${links || 'none'}`);
      const terms = [1, 2, 3].map((number) => cluster.status(number).term);
      t.ok(Math.max(...terms) < 15, `terms ${terms} stay small`);
      run(cluster, () => true, 2_000);
      t.ok(
        commits(cluster, () => true),
        'healed',
      );
    }
  }
  t.end();
});
