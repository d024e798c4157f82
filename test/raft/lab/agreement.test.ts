/**
 * Agreement: the second part of the laboratory list (see lab-world.ts), with its two guards of
 * efficiency: how many bytes and how many messages an agreement may cost.
 */
import t from 'tap';
import type { TestNode } from '../driver-world.js';
import { LabWorld } from './lab-world.js';

function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${prefix}${at}`);
}

t.test('basic agreement: commands get the next indexes, in order', async (t) => {
  const world = new LabWorld('basic', 3);
  await world.bootAll();
  const first = await world.agree('a');
  t.equal(world.holders('b').length, 0, 'nothing is applied before it is proposed');
  t.equal(await world.agree('b'), first + 1);
  t.equal(await world.agree('c'), first + 2);
  for (const { machine } of world.nodes) t.same(machine.texts, ['first', 'a', 'b', 'c']);
  await world.stopAll();
});

t.test('bytes: each command is sent to each follower once', async (t) => {
  const world = new LabWorld('bytes', 3);
  await world.bootAll();
  await world.oneLeader();
  const before = world.bytes;
  let sent = 0;
  for (let round = 0; round < 10; round += 1) {
    const text = `${round}`.padEnd(5_000, 'x');
    await world.agree(text);
    sent += text.length;
  }
  const bytes = world.bytes - before;
  t.ok(bytes >= 2 * sent, `${bytes} bytes cannot be fewer than ${2 * sent}`);
  t.ok(bytes <= 2 * sent + 10 * 2 * 100, `${bytes} bytes for ${sent} bytes of commands`);
  await world.stopAll();
});

for (const [kind, victimOf] of [
  ['followers', (world: LabWorld, leader: TestNode) => world.followers(leader)],
  ['leaders', (_world: LabWorld, leader: TestNode) => [leader]],
] as const) {
  t.test(`failure of ${kind} one after another: agreement while a majority is left`, async (t) => {
    const world = new LabWorld(`fail ${kind}`, 3);
    await world.bootAll();
    world.disconnect(world.pick(victimOf(world, await world.oneLeader())));
    await world.agree('a', 2);
    await world.pass(1_000);
    await world.agree('b', 2);
    const leader = await world.oneLeader();
    const [other] = kind === 'leaders' ? [leader] : world.connected.filter((n) => n !== leader);
    if (other === undefined) throw new Error('two nodes');
    world.disconnect(other);
    for (const node of world.nodes) world.fire(node, 'c');
    await world.pass(2_000);
    t.equal(world.holders('c').length, 0, 'one of three commits nothing');
    await world.stopAll();
  });
}

t.test('agreement while a follower is away, and with it when it is back', async (t) => {
  const world = new LabWorld('away', 3);
  await world.bootAll();
  const leader = await world.oneLeader();
  const away = world.pick(world.followers(leader));
  world.disconnect(away);
  for (const text of ['a', 'b', 'c', 'd']) await world.agree(text, 2);
  world.connect(away);
  await world.agree('e', 3);
  t.same(away.machine.texts, ['first', 'a', 'b', 'c', 'd', 'e']);
  await world.stopAll();
});

t.test('no agreement without a majority; with it again, the log goes on', async (t) => {
  const world = new LabWorld('no agreement', 5);
  await world.bootAll();
  const leader = await world.oneLeader();
  const away = world.followers(leader).slice(0, 3);
  world.disconnect(...away);
  world.fire(leader, 'lost?');
  await world.pass(2_000);
  t.equal(world.holders('lost?').length, 0);
  world.connect(...away);
  await world.oneLeader();
  await world.agree('after', 5);
  await world.stopAll();
});

t.test('concurrent proposals of one term are all committed, each once', async (t) => {
  const world = new LabWorld('concurrent', 3);
  await world.bootAll();
  const leader = await world.oneLeader();
  const texts = names('c', 50);
  const done = Promise.all(texts.map((text) => world.propose(leader, text)));
  const results = await world.clock.runUntil(done);
  t.equal(new Set(results.map(({ index }) => index)).size, 50);
  await world.agree('last');
  t.same(leader.machine.texts, ['first', ...texts, 'last']);
  await world.stopAll();
});

t.test('a leader that was cut off gives up what nobody else has', async (t) => {
  const world = new LabWorld('rejoin', 3);
  await world.bootAll();
  const first = await world.oneLeader();
  world.disconnect(first);
  for (const text of ['lost 1', 'lost 2', 'lost 3']) world.fire(first, text);
  await world.agree('a', 2);
  const second = await world.oneLeader();
  world.disconnect(second);
  world.connect(first);
  await world.agree('b', 2);
  world.connect(second);
  await world.agree('c', 3);
  for (const { machine } of world.nodes) t.same(machine.texts, ['first', 'a', 'b', 'c']);
  await world.stopAll();
});

t.test('a leader backs up fast over logs that went apart for long', async (t) => {
  const world = new LabWorld('backup', 5);
  await world.bootAll();
  const leader1 = await world.oneLeader();
  // Many entries that only the leader and one follower have.
  const [a, b, c, d] = world.followers(leader1);
  if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error();
  world.disconnect(b, c, d);
  for (const text of names('lost-1-', 50)) world.fire(leader1, text);
  await world.pass(250);
  world.disconnect(leader1, a);
  world.connect(b, c, d);
  for (const text of names('kept-1-', 50)) await world.agree(text, 3);
  // The same among the others: a new leader and one more, cut off with entries of their own.
  const leader2 = await world.oneLeader();
  const other = world.pick([b, c, d].filter((node) => node !== leader2));
  world.disconnect(other);
  const [rest] = [b, c, d].filter((node) => node !== leader2 && node !== other);
  if (rest === undefined) throw new Error('three nodes');
  world.disconnect(rest);
  for (const text of names('lost-2-', 50)) world.fire(leader2, text);
  await world.pass(250);
  world.disconnect(leader2);
  world.connect(leader1, a, other);
  for (const text of names('kept-2-', 50)) await world.agree(text, 3);
  const started = world.clock.now();
  world.connect(...world.nodes);
  await world.agree('end', 5);
  const tookMs = world.clock.now() - started;
  t.ok(tookMs < 2_000, `all five agree ${tookMs} ms after they are together again`);
  const kept = [...names('kept-1-', 50), ...names('kept-2-', 50)];
  for (const { machine } of world.nodes) t.same(machine.texts, ['first', ...kept, 'end']);
  await world.stopAll();
});

t.test('messages: elections, agreement and idling cost few of them', async (t) => {
  const world = new LabWorld('count', 3);
  await Promise.all(world.nodes.map((node) => world.boot(node)));
  const leader = await world.oneLeader();
  t.ok(world.requests >= 4 && world.requests <= 30, `${world.requests} for an election`);
  await world.agree('x');

  const before = world.requests;
  const done = Promise.all(names('c', 10).map((text) => world.propose(leader, text)));
  await world.clock.runUntil(done);
  await world.agree('last');
  const agreeing = world.requests - before;
  t.ok(agreeing <= (10 + 1 + 3) * 3, `${agreeing} for eleven commands`);

  const atRest = world.requests;
  await world.pass(1_000);
  const idle = world.requests - atRest;
  t.ok(idle <= 3 * 20, `${idle} in an idle second`);
  await world.stopAll();
});
