import t from 'tap';
import { createSeededRng, type IdunnoError } from '../../src/base/index.js';
import type { Wire } from '../../src/net/index.js';
import { COUNTERS } from './counter-module.js';
import { SESSIONS_MAX, StoreWorld } from './store-world.js';

t.test('a command from any node reaches the leader, and its answer comes back', async (t) => {
  const world = new StoreWorld('any');
  await world.start();
  const clients = [...world.coordinators.map((node) => node.on.client), world.client('w1')];
  let expected = 0;
  for (const client of clients) {
    expected += 2;
    t.equal(await world.run(client.submit('counter.add', ['a', 2])), expected);
    t.equal(await world.run(client.query('counter.get', ['a'])), expected, 'and is read at once');
  }
  await world.sameState();
  await world.stop();
});

t.test('a refusal comes back as it was made, and is not tried elsewhere', async (t) => {
  const world = new StoreWorld('refusal');
  await world.start();
  await world.leader();
  const client = world.client('w1');
  await t.rejects(world.run(client.submit('counter.refuse', ['a'])), {
    code: 'CONFLICT',
    data: { name: 'a' },
  });
  await t.rejects(world.run(client.query('counter.refuse', [])), { code: 'FILE_NOT_FOUND' });
  const startedMs = world.clock.now();
  for (const { on } of world.coordinators) {
    const query = on.client.query('counter.refuse', []);
    await t.rejects(world.run(query), { code: 'FILE_NOT_FOUND' });
  }
  t.ok(world.clock.now() - startedMs < 100);
  await world.stop();
});

t.test('commands sent together share entries of the log', async (t) => {
  const world = new StoreWorld('batch');
  await world.start();
  const leader = await world.leader();
  const client = world.client('w1');
  await world.run(client.submit('counter.add', ['a', 1]));
  const before = leader.on.driver.applied;
  const adds = Array.from({ length: 300 }, () => client.submit('counter.add', ['a', 1]));
  const values = (await world.run(Promise.all(adds))) as number[];
  t.equal(new Set(values).size, 300, 'each saw its own turn');
  t.ok(leader.on.driver.applied - before < 60, `${leader.on.driver.applied - before} entries`);
  await world.stop();
});

t.test('a command whose answer is lost takes effect once', async (t) => {
  const world = new StoreWorld('lost answers');
  await world.start();
  await world.leader();
  const client = world.client('w1');
  const rng = createSeededRng('lost');
  await world.run(client.submit('counter.add', ['a', 0]));
  let lost = 0;
  world.hub.answerFilter = (_from, to) => {
    const isLost = to === 'w1' && rng.int(3) === 0;
    if (isLost) lost += 1;
    return !isLost;
  };
  for (let round = 0; round < 30; round += 1) {
    await world.run(client.submit('counter.add', ['a', 1]));
  }
  world.hub.answerFilter = () => true;
  t.ok(lost > 5, `${lost} answers were lost`);
  t.equal(await world.run(client.query('counter.get', ['a'])), 30);
  await world.sameState();
  await world.stop();
});

t.test('commands survive the death of leaders, each exactly once', async (t) => {
  const world = new StoreWorld('failover');
  await world.start();
  const clients = [world.client('w1'), world.client('w2'), world.client('w3')];
  const seen: number[] = [];
  let isRunning = true;
  const load = clients.map(async (client) => {
    while (isRunning) {
      seen.push((await client.submit('counter.add', ['a', 1])) as number);
      await world.clock.sleep(10);
    }
  });
  for (let round = 0; round < 4; round += 1) {
    const leader = await world.leader();
    await world.clock.advanceSettled(100);
    leader.kill();
    await world.leader();
    await world.clock.advanceSettled(50);
    await world.run(leader.start());
  }
  isRunning = false;
  await world.run(Promise.all(load));
  const total = await world.run(world.client('w4').query('counter.get', ['a']));
  t.equal(total, seen.length, 'as many effects as answers');
  t.equal(new Set(seen).size, seen.length, 'no effect was answered twice');
  t.ok(seen.length > 50, `${seen.length} commands`);
  await world.sameState();
  await world.stop();
});

t.test('the next command after a kill is acknowledged within 150 ms', async (t) => {
  const world = new StoreWorld('fast');
  await world.start();
  const client = world.client('w1');
  await world.run(client.submit('counter.add', ['a', 1]));
  for (let round = 0; round < 10; round += 1) {
    const leader = await world.leader();
    await world.run(client.submit('counter.add', ['a', 1]));
    const killedMs = world.clock.now();
    leader.kill();
    await world.run(client.submit('counter.add', ['a', 1]));
    t.ok(world.clock.now() - killedMs < 150, `${(world.clock.now() - killedMs).toFixed(1)} ms`);
    await world.run(leader.start());
    await world.clock.advanceSettled(500);
  }
  await world.stop();
});

t.test('a frozen leader is left after an election timeout', async (t) => {
  const world = new StoreWorld('frozen');
  await world.start();
  const client = world.client('w1');
  await world.run(client.submit('counter.add', ['a', 1]));
  const leader = await world.leader();
  leader.on.rpc.isFrozen = true;
  const frozenMs = world.clock.now();
  t.equal(await world.run(client.submit('counter.add', ['a', 1])), 2);
  t.ok(world.clock.now() - frozenMs < 700, `${world.clock.now() - frozenMs} ms`);
  await world.stop();
});

t.test('without a quorum', async (t) => {
  t.test('a command that was never taken is refused as unchanged', async (t) => {
    const world = new StoreWorld('no leader');
    await world.start();
    await world.leader();
    const client = world.client('w1');
    await world.run(client.submit('counter.add', ['a', 1]));
    for (const node of world.coordinators) node.kill();
    await world.clock.advanceSettled(100);
    await t.rejects(world.run(client.query('counter.get', ['a'], { timeoutMs: 500 })), {
      code: 'NO_LEADER',
    });
  });

  t.test('a command that the leader took has an unknown outcome', async (t) => {
    const world = new StoreWorld('unknown');
    await world.start();
    const leader = await world.leader();
    const { client } = leader.on;
    await world.run(client.submit('counter.add', ['a', 1]));
    for (const other of world.followers(leader)) world.hub.cut(leader.name, other.name);
    const asked = client.submit('counter.add', ['a', 1], { timeoutMs: 2_000 });
    await t.rejects(world.run(asked), { code: 'UNKNOWN_OUTCOME' });
    world.hub.heal();
    t.match(await world.run(client.submit('counter.add', ['a', 0])), /^[12]$/);
    await world.sameState();
    await world.stop();
  });
});

t.test('a retry under the same request by another client is answered, not executed', async (t) => {
  const world = new StoreWorld('request');
  await world.start();
  const one = world.client('w1');
  const two = world.client('w2');
  const session = await world.run(one.openSession());
  const request = { session, seq: 1 };
  t.equal(await world.run(one.submit('counter.add', ['a', 7], { request })), 7);
  const leader = await world.leader();
  leader.kill();
  t.equal(await world.run(two.submit('counter.add', ['a', 7], { request })), 7);
  t.equal(await world.run(two.query('counter.get', ['a'])), 7);
  await t.rejects(
    world.run(two.submit('counter.add', ['a', 7], { request: { session: 99_999, seq: 1 } })),
    { code: 'UNKNOWN_OUTCOME' },
  );
  await world.stop();
});

t.test('an evicted session is renewed where that cannot repeat anything', async (t) => {
  const world = new StoreWorld('evicted');
  await world.start();
  const leader = await world.leader();
  const client = world.client('w1');
  await world.run(client.submit('counter.add', ['a', 1]));
  // Newcomers push it out.
  const { service } = leader.on;
  const newcomers = Array.from({ length: SESSIONS_MAX }, () => service.register());
  await world.run(Promise.all(newcomers));
  t.equal(await world.run(client.submit('counter.add', ['a', 1])), 2);
  await world.sameState();
  await world.stop();
});

t.test(
  'a coordinator that was away long catches up by a snapshot, to the same state',
  async (t) => {
    const world = new StoreWorld('catch up', { trailingEntries: 10, compactStep: 5 });
    await world.start();
    const leader = await world.leader();
    const [away] = world.followers(leader);
    if (away === undefined) throw new Error('a follower');
    const client = world.client('w1');
    await world.run(client.submit('counter.add', ['a', 1]));
    away.kill();
    for (let at = 0; at < 150; at += 1) {
      await world.run(client.submit('counter.add', [`c${at % 17}`, at]));
    }
    await world.run(away.start());
    await world.sameState();
    t.match(away.on.machine.installedSnapshot, { index: Number });
    // Sessions travelled with it: as the next leader it still recognises a retry.
    const session = await world.run(client.openSession());
    const request = { session, seq: 1 };
    await world.run(client.submit('counter.add', ['once', 1], { request }));
    await world.run(leader.on.driver.transferLeadership(away.name));
    t.equal((await world.leader()).name, away.name);
    t.equal(await world.run(client.submit('counter.add', ['once', 1], { request })), 1);
    await world.sameState();
    t.same(away.fatals, []);
    await world.stop();
  },
);

t.test('the whole cluster comes back after a loss of power', async (t) => {
  const world = new StoreWorld('power', { trailingEntries: 20, compactStep: 10 });
  await world.start();
  let expected = 0;
  for (let round = 0; round < 3; round += 1) {
    const client = world.client(`w${round}`);
    for (let at = 0; at < 40; at += 1) {
      expected += 1;
      t.equal(await world.run(client.submit('counter.add', ['a', 1])), expected);
    }
    for (const node of world.coordinators) node.kill();
    await world.clock.advanceSettled(100);
    await world.start();
    await world.leader();
  }
  const [first] = world.coordinators;
  t.equal(await world.run(world.client('w9').query('counter.get', ['a'])), expected);
  await world.sameState();
  t.same(first?.on.service.view().get(COUNTERS, ['a']), { n: expected });
  await world.stop();
});

t.test('leader methods and duties', async (t) => {
  t.test('a method runs on the leader only, and its refusals are its own', async (t) => {
    const world = new StoreWorld('methods');
    for (const node of world.coordinators) {
      node.prepare = (service) => {
        service.registerLeaderMethod('test.where', (args) => [node.name, ...args]);
        service.registerLeaderMethod('test.busy', () => {
          throw Object.assign(new Error('x'), {});
        });
      };
    }
    await world.start();
    const leader = await world.leader();
    const clients = [...world.coordinators.map((node) => node.on.client), world.client('w1')];
    for (const client of clients) {
      t.same(await world.run(client.callLeader('test.where', [1])), [leader.name, 1]);
    }
    await t.rejects(world.run(world.client('w2').callLeader('test.busy', [])), {
      code: 'INTERNAL',
    });
    leader.kill();
    const next = await world.leader();
    t.same(await world.run(world.client('w3').callLeader('test.where', [2])), [next.name, 2]);
    await world.stop();
  });

  t.test('a long poll is waited for, and ends with the leadership', async (t) => {
    const world = new StoreWorld('long poll');
    const ended: string[] = [];
    let answer: (value: Wire) => void = () => undefined;
    for (const node of world.coordinators) {
      node.prepare = (service) =>
        service.registerLeaderMethod(
          'test.poll',
          (_args, { signal }) =>
            new Promise((resolve, reject) => {
              answer = resolve;
              signal.addEventListener('abort', () => {
                ended.push(node.name);
                reject(signal.reason);
              });
            }),
        );
    }
    await world.start();
    const leader = await world.leader();
    const client = world.client('w1');
    const first = client.callLeader('test.poll', [], { timeoutMs: 30_000 });
    await world.clock.advanceSettled(5_000);
    answer('task');
    t.equal(await world.run(first), 'task');
    const { calls } = world.hub.nodes.get('w1') ?? { calls: [] };
    t.ok(calls.length < 15, `${calls.length} calls in five seconds of waiting`);
    const second = client.callLeader('test.poll', [], { timeoutMs: 30_000 });
    await world.clock.advanceSettled(1_000);
    await world.run(leader.on.driver.transferLeadership());
    await world.clock.advanceSettled(3_000);
    t.same(ended, [leader.name], 'the old leader let go of it');
    answer('after');
    t.equal(await world.run(second), 'after', 'the new one answered it');
    await world.stop();
  });

  t.test('a duty is done by one node at a time, the leader that is ready', async (t) => {
    const world = new StoreWorld('duties');
    const on = new Set<string>();
    let most = 0;
    const terms: number[] = [];
    for (const node of world.coordinators) {
      node.prepare = (service) =>
        service.addDuty({
          name: 'test',
          lead: (term, signal) => {
            on.add(node.name);
            terms.push(term);
            most = Math.max(most, on.size);
            signal.addEventListener('abort', () => on.delete(node.name));
          },
        });
    }
    await world.start();
    for (let round = 0; round < 4; round += 1) {
      const leader = await world.leader();
      // Duties begin a moment after the leadership.
      await world.clock.advanceSettled(50);
      t.same([...on], [leader.name]);
      await world.run(leader.on.driver.transferLeadership());
      await world.clock.advanceSettled(50);
    }
    t.equal(most, 1);
    t.same(
      [...terms].sort((a, b) => a - b),
      terms,
      'terms only grow',
    );
    await world.stop();
  });

  t.test('a proposal of the leader itself is committed, one of a follower refused', async (t) => {
    const world = new StoreWorld('propose');
    await world.start();
    const leader = await world.leader();
    t.equal(await world.run(leader.on.service.propose('counter.add', ['p', 3])), 3);
    for (const other of world.followers(leader)) {
      await t.rejects(world.run(other.on.service.propose('counter.add', ['p', 3])), {
        code: 'NOT_LEADER',
        data: { leader: leader.name },
      });
    }
    const index = await world.run(leader.on.service.readBarrier());
    t.ok(index >= leader.on.machine.position.index - 1);
    await world.stop();
  });
});

t.test('the caller may give up', async (t) => {
  const world = new StoreWorld('abort');
  await world.start();
  const client = world.client('w1');
  await world.run(client.submit('counter.add', ['a', 1]));
  for (const node of world.coordinators) node.on.rpc.isFrozen = true;
  const abort = new AbortController();
  const reason = new Error('given up') as IdunnoError;
  const asked = client.submit('counter.add', ['a', 1], { signal: abort.signal });
  asked.catch(() => undefined);
  await world.clock.advanceSettled(20);
  abort.abort(reason);
  await t.rejects(world.run(asked), reason);
  await world.stop();
});
