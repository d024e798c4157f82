/** Puts and gets on a small cluster in memory. */
import t from 'tap';
import { BLOBS, INTENTS } from '../../src/sdfs/tables.js';
import { bytesOf, readAll, sourceOf, World } from './world.js';

const KIB = 1024;

async function getBytes(world: World, name: string, from = 'n1', version?: number) {
  const options = version === undefined ? {} : { version };
  const { chunks } = await world.run(world.client(from).get(name, options));
  return world.run(readAll(chunks));
}

t.test('what is put is read back from any node, at every size around the boundaries', async (t) => {
  const world = await World.create({ nodes: 6 });
  const sizes = [0, 1, 65_535, 65_536, 65_537, 256 * KIB, 512 * KIB, 512 * KIB + 1, 3_500_000];
  for (const size of sizes) {
    const bytes = bytesOf(size, size + 1);
    const result = await world.run(world.client().put(sourceOf(`f${size}`, bytes)));
    t.match(result, { version: 1, bytes: size, copies: 4, wanted: 4 });
    t.equal(new Set(result.holders).size, 4);
    for (const reader of ['n1', 'n4']) {
      const found = await getBytes(world, `f${size}`, reader);
      t.ok(Buffer.from(found).equals(bytes), `${size} bytes by ${reader}`);
    }
  }
  t.equal(world.store.rows(INTENTS).length, 0, 'no intent is left open');
  world.end();
});

t.test('a stream of unknown length is put, small or large', async (t) => {
  const world = await World.create({ nodes: 5 });
  for (const size of [10, 600 * KIB, 2_000_000]) {
    const bytes = bytesOf(size);
    const source = sourceOf(`u${size}`, bytes, { isLengthUnknown: true });
    t.equal((await world.run(world.client().put(source))).bytes, size);
    t.ok(Buffer.from(await getBytes(world, `u${size}`, 'n3')).equals(bytes));
  }
  world.end();
});

t.test('each put of a name is a version, and old versions stay readable', async (t) => {
  const world = await World.create({ nodes: 4 });
  for (const version of [1, 2, 3]) {
    const result = await world.run(world.client().put(sourceOf('a', bytesOf(100, version))));
    t.equal(result.version, version);
  }
  t.ok(Buffer.from(await getBytes(world, 'a')).equals(bytesOf(100, 3)));
  t.ok(Buffer.from(await getBytes(world, 'a', 'n2', 1)).equals(bytesOf(100, 1)));
  const versions = await world.run(world.client().versions('a', 2));
  t.same(
    versions.map((version) => version.version),
    [3, 2],
  );
  await world.run(world.client().delete('a'));
  await t.rejects(world.run(world.client().get('a')), { code: 'FILE_NOT_FOUND' });
  await t.rejects(world.run(world.client().delete('a')), { code: 'FILE_NOT_FOUND' });
  world.end();
});

t.test('concurrent puts of one name get different versions', async (t) => {
  const world = await World.create({ nodes: 6 });
  const puts = Array.from({ length: 8 }, (_, at) =>
    world.client(`n${(at % 6) + 1}`).put(sourceOf('same', bytesOf(5_000, at))),
  );
  const results = await world.run(Promise.all(puts));
  t.same(results.map((result) => result.version).sort(), [1, 2, 3, 4, 5, 6, 7, 8]);
  world.end();
});

t.test('a name that cannot be is refused before anything happens', async (t) => {
  const world = await World.create({ nodes: 4 });
  const before = world.store.appliedIndex;
  await t.rejects(world.run(world.client().put(sourceOf('x'.repeat(1025), bytesOf(1)))), {
    code: 'BAD_NAME',
    message: /1025 bytes/,
  });
  await t.rejects(world.run(world.client().get('')), { code: 'BAD_NAME' });
  t.equal(world.store.appliedIndex, before);
  world.end();
});

t.test('with fewer than four nodes there are as many copies, and the answer says so', async (t) => {
  for (const nodes of [1, 2, 3]) {
    const world = await World.create({ nodes });
    for (const size of [1_000, 600 * KIB]) {
      const result = await world.run(world.client().put(sourceOf(`f${size}`, bytesOf(size))));
      t.match(result, { copies: nodes, wanted: 4 });
    }
    world.end();
  }
});

t.test('durability quorum answers with three copies', async (t) => {
  const world = await World.create({ nodes: 5 });
  const put = world.client().put(sourceOf('q', bytesOf(1_000)), { durability: 'quorum' });
  const result = await world.run(put);
  t.ok(result.copies >= 3, `${result.copies} copies`);
  await world.until(() => world.store.get(BLOBS, [1])?.holders.length === 4);
  world.end();
});

t.test('a target that is dead is replaced, in fan-out and in a chain', async (t) => {
  const world = await World.create({ nodes: 6 });
  world.kill('n3', false);
  for (let at = 0; at < 8; at += 1) {
    const size = at % 2 === 0 ? 1_000 : 700 * KIB;
    const bytes = bytesOf(size, at);
    const result = await world.run(world.client().put(sourceOf(`d${at}`, bytes)));
    t.equal(result.copies, 4);
    t.notOk(result.holders.includes(world.node('n3').name));
    t.ok(Buffer.from(await getBytes(world, `d${at}`, 'n2')).equals(bytes));
  }
  world.end();
});

t.test('a target that dies in the middle of a large put is replaced', async (t) => {
  const world = await World.create({ nodes: 7 });
  const bytes = bytesOf(5_000_000);
  for (const victim of ['n2', 'n3', 'n4', 'n5', 'n6']) {
    let isDead = false;
    const source = sourceOf(`m-${victim}`, bytes, {
      onChunk: (at) => {
        if (at < 2_000_000 || isDead) return;
        isDead = true;
        world.kill(victim, false);
      },
    });
    const result = await world.run(world.client().put(source));
    t.equal(result.copies, 4, victim);
    t.notOk(result.holders.some((holder) => !world.node(holder).isRunning));
    t.ok(Buffer.from(await getBytes(world, `m-${victim}`, 'n1')).equals(bytes));
    await world.restart(victim);
    await world.sleep(100);
  }
  world.end();
});

t.test('frozen targets cost a put seconds at most, in fan-out and in a chain', async (t) => {
  const world = await World.create({ nodes: 7 });
  world.network.pause('n4');
  world.network.pause('n6');
  const slowest = { fanOut: 0, chain: 0 };
  for (let at = 0; at < 24; at += 1) {
    const size = [2_000, 400 * KIB, 600 * KIB, 3_000_000][at % 4] as number;
    const startMs = world.clock.now();
    const result = await world.run(world.client().put(sourceOf(`z${at}`, bytesOf(size, at))));
    const ms = world.clock.now() - startMs;
    if (size <= 512 * KIB) slowest.fanOut = Math.max(slowest.fanOut, ms);
    else slowest.chain = Math.max(slowest.chain, ms);
    t.equal(result.copies, 4);
    t.notOk(result.holders.some((holder) => holder === 'n4' || holder === 'n6'));
  }
  t.ok(slowest.fanOut < 2_000, `fan-out: ${slowest.fanOut} ms`);
  t.ok(slowest.chain < 12_000, `chain: ${slowest.chain} ms`);
  world.end();
});

t.test(
  'a put waits until a dead node is declared down when it is needed for the count',
  async (t) => {
    const world = await World.create({ nodes: 4 });
    world.kill('n2', false);
    const put = world.client().put(sourceOf('w', bytesOf(1_000)));
    await world.sleep(2_000);
    world.mark('n2', 'down');
    t.match(await world.run(put), { copies: 3, wanted: 4 });
    world.end();
  },
);

t.test(
  'a holder that goes down before the commit is replaced, and the put is one version',
  async (t) => {
    const world = await World.create({ nodes: 6 });
    let victim: string | undefined;
    world.onSubmit = (command, args) => {
      if (command !== 'sdfs.commit' || victim !== undefined) return;
      victim = String(((args[3] as unknown[])[0] as unknown[])[0]);
      world.kill(victim);
    };
    const result = await world.run(world.client('n6').put(sourceOf('c', bytesOf(2_000))));
    t.match(result, { version: 1, copies: 4 });
    t.notOk(result.holders.some((holder) => holder === victim));
    world.end();
  },
);

t.test(
  'full disks refuse a put with the bytes that are missing, and nothing is changed',
  async (t) => {
    const world = await World.create({ nodes: 5, disk: { capacityBytes: 4_000_000 } });
    await world.run(world.client().put(sourceOf('first', bytesOf(1_500_000))));
    await world.sleep(4_000);
    await t.rejects(world.run(world.client().put(sourceOf('big', bytesOf(5_000_000)))), {
      code: 'DISK_FULL',
      message: /bytes short/,
    });
    await t.rejects(world.run(world.client().stat('big')), { code: 'FILE_NOT_FOUND' });
    await world.sleep(5_000);
    t.equal(world.store.rows(INTENTS).length, 0);
    world.end();
  },
);

t.test('disks that fill up in the middle of a put refuse it, and nothing is changed', async (t) => {
  const world = await World.create({ nodes: 5 });
  const before = (await world.node('n1').disk.space()).freeBytes;
  const source = sourceOf('big', bytesOf(8_000_000), {
    onChunk: (at) => {
      if (at < 4_000_000) return;
      for (const node of world.nodes.values()) node.disk.failWrites('DISK_FULL');
    },
  });
  await t.rejects(world.run(world.client().put(source)), { code: 'DISK_FULL' });
  await world.sleep(5_000);
  t.equal(world.store.rows(INTENTS).length, 0);
  t.equal((await world.node('n1').disk.space()).freeBytes, before, 'no bytes are left');
  world.end();
});

t.test('one disk that fills up in the middle of a put is replaced by another node', async (t) => {
  const world = await World.create({ nodes: 6 });
  for (const victim of ['n1', 'n3', 'n5']) {
    const source = sourceOf('one', bytesOf(6_000_000), {
      onChunk: (at) => {
        if (at > 2_000_000) world.node(victim).disk.failWrites('DISK_FULL');
      },
    });
    const result = await world.run(world.client().put(source));
    t.equal(result.copies, 4);
    t.notOk(result.holders.includes(world.node(victim).name));
    world.node(victim).disk.failWrites(undefined);
  }
  world.end();
});

t.test('a source that fails, or gives another length than promised, commits nothing', async (t) => {
  const world = await World.create({ nodes: 5 });
  const broken = sourceOf('b', bytesOf(3_000_000), {
    onChunk: (at) => {
      if (at > 1_000_000) throw new Error('the camera fell off');
    },
  });
  await t.rejects(world.run(world.client().put(broken)), /camera/);
  const short = { ...sourceOf('s', bytesOf(2_000_000)), bytes: 3_000_000 };
  await t.rejects(world.run(world.client().put(short)), { code: 'BAD_ARGUMENT' });
  const small = { ...sourceOf('s', bytesOf(20)), bytes: 30 };
  await t.rejects(world.run(world.client().put(small)), { code: 'BAD_ARGUMENT' });
  await world.sleep(100);
  t.same(await world.run(world.client().list('')), { files: [], next: undefined });
  t.equal(world.store.rows(INTENTS).length, 0);
  world.end();
});

t.test('an interrupted put ends at once and leaves nothing', async (t) => {
  const world = await World.create({ nodes: 5 });
  const abort = new AbortController();
  const source = sourceOf('i', bytesOf(4_000_000), {
    onChunk: (at) => {
      if (at > 1_000_000) abort.abort();
    },
  });
  await t.rejects(world.run(world.client().put(source, { signal: abort.signal })));
  const slow = sourceOf('j', bytesOf(4_000_000), { onChunk: () => world.clock.sleep(1_000) });
  await t.rejects(world.run(world.client().put(slow, { timeoutMs: 5_000 })), { code: 'TIMEOUT' });
  await world.sleep(5_000);
  t.equal(world.store.rows(INTENTS).length, 0);
  world.end();
});

t.test('a put retried under its number is one version, also after a lost answer', async (t) => {
  const world = await World.create({ nodes: 6 });
  const request = { session: 5, seq: 1 };
  const bytes = bytesOf(9_000);
  const first = await world.run(world.client('n1').put(sourceOf('r', bytes), { request }));
  const again = await world.run(world.client('n2').put(sourceOf('r', bytes), { request }));
  t.same([again.version, again.sha256], [first.version, first.sha256]);
  t.same((await world.run(world.client().versions('r', 10))).length, 1);
  await t.rejects(world.run(world.client('n2').put(sourceOf('other', bytesOf(10)), { request })), {
    code: 'CONFLICT',
  });
  await world.sleep(100);
  t.equal(world.store.rows(INTENTS).length, 0);
  world.end();
});
