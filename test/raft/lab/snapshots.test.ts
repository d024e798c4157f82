/**
 * Snapshots: the last part of the laboratory list (see lab-world.ts). Logs are cut short after ten
 * entries, so whoever is away for longer can only come back by a snapshot.
 */
import t, { type Test } from 'tap';
import type { TestNode } from '../driver-world.js';
import { LabWorld, type LabOptions } from './lab-world.js';

const LIMITS = { trailingEntries: 5, compactStep: 5 };
/** More than a log keeps. */
const BURST = 25;

async function burst(world: LabWorld, name: string, expected: number): Promise<void> {
  for (let at = 0; at < BURST; at += 1) await world.agree(`${name}.${at}`, expected);
}

function logLength({ driver }: TestNode): number {
  const raft = driver.status().raft;
  return raft === undefined ? 0 : raft.last - raft.snapshot;
}

t.test('logs stay short while snapshots cover what they forget', async (t) => {
  const world = new LabWorld('snapshot basic', 3, { limits: LIMITS });
  await world.bootAll();
  for (let round = 0; round < 4; round += 1) {
    await burst(world, `${round}`, 3);
    await world.pass(100);
    for (const node of world.nodes) t.ok(logLength(node) <= 12, `${logLength(node)} entries`);
  }
  t.equal(world.at(1).machine.texts.length, 1 + 4 * BURST);
  t.equal(
    world.nodes.reduce((sum, { machine }) => sum + machine.snapshots, 0),
    0,
    'nobody needed to be sent one',
  );
  await world.stopAll();
});

/** A follower or, every third round, the leader is away for a burst; then it catches up. */
async function install(
  t: Test,
  options: LabOptions & { readonly isCrash: boolean; readonly lossOfSnapshots: number },
): Promise<void> {
  const { isCrash, isUnreliable = false, lossOfSnapshots } = options;
  const world = new LabWorld(`install ${isCrash} ${isUnreliable}`, 3, {
    isUnreliable,
    limits: LIMITS,
  });
  await world.bootAll();
  world.loseSnapshots(lossOfSnapshots);
  // A log is kept for a follower that still catches up: not every round leaves somebody behind it.
  let beyond = 0;
  for (let round = 0; round < 6; round += 1) {
    const leader = await world.oneLeader();
    const away = round % 3 === 2 ? leader : world.pick(world.followers(leader));
    if (isCrash) await world.crash(away);
    else world.disconnect(away);
    await burst(world, `${round}`, 2);
    const firstKept = (await world.oneLeader()).driver.status().raft?.snapshot ?? 0;
    if (isCrash) await world.boot(away);
    const last = away.driver.status().raft?.last ?? 0;
    if (last < firstKept) beyond += 1;
    world.connect(away);
    await world.agree(`${round} end`, 3);
  }
  t.ok(beyond >= 2, `${beyond} times the log began after where the one that was away ended`);
  const { texts } = world.at(1).machine;
  t.equal(texts.length, 1 + 6 * (BURST + 1));
  for (const { machine } of world.nodes) t.same(machine.texts, texts);
  await world.stopAll();
}

t.test('a node that was cut off gets a snapshot', (t) =>
  install(t, { isCrash: false, lossOfSnapshots: 0 }),
);
t.test('a node that was cut off gets a snapshot over a lossy network', (t) =>
  install(t, { isCrash: false, isUnreliable: true, lossOfSnapshots: 0.5 }),
);
t.test('a node that was down gets a snapshot', (t) =>
  install(t, { isCrash: true, lossOfSnapshots: 0 }),
);
t.test('a node that was down gets a snapshot over a lossy network', (t) =>
  install(t, { isCrash: true, isUnreliable: true, lossOfSnapshots: 0.5 }),
);

t.test('all crash, with snapshots and short logs, and go on where they were', async (t) => {
  const world = new LabWorld('snapshot all crash', 3, { limits: LIMITS });
  await world.bootAll();
  for (let round = 0; round < 5; round += 1) {
    for (let at = 0; at < 9; at += 1) await world.agree(`${round}.${at}`, 3);
    const index = await world.agree(`${round} before`, 3);
    for (const node of world.nodes) await world.crash(node);
    for (const node of world.nodes) await world.boot(node);
    t.ok((await world.agree(`${round} after`, 3)) > index, 'indexes go on');
  }
  t.equal(world.at(1).machine.texts.length, 1 + 5 * 11);
  await world.stopAll();
});

t.test('a restart with nothing new keeps the snapshot, again and again', async (t) => {
  const world = new LabWorld('snapshot init', 3, { limits: LIMITS });
  await world.bootAll();
  await burst(world, 'a', 3);
  await world.pass(100);
  const startOf = (): number[] =>
    world.nodes.map(({ driver }) => driver.status().raft?.snapshot ?? 0);
  const before = startOf();
  t.ok(Math.min(...before) > 10, `logs begin after ${before}`);
  // No command in between: what a node starts from is what it read back, twice.
  for (let round = 0; round < 2; round += 1) {
    for (const node of world.nodes) await world.crash(node);
    for (const node of world.nodes) await world.boot(node);
    t.ok(
      startOf().every((start, at) => start >= (before[at] ?? 0)),
      `${startOf()} after ${before}`,
    );
  }
  await world.agree('end', 3);
  t.equal(world.at(1).machine.texts.length, 2 + BURST);
  await world.stopAll();
});
