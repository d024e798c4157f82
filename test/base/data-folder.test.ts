/** A node's data folder: whose it is, and that only one process has it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import {
  crc32c,
  createRealDisk,
  createSeededRng,
  type DataFolderOptions,
  fingerprintOf,
  lockFolder,
  MemoryDisk,
  must,
  nodeId,
  openDataFolder,
  VirtualClock,
} from '../../src/base/index.js';
import { temporaryFolder } from './temporary.js';

const COORDINATORS = ['n1', 'n2', 'n3'].map(nodeId);

function options(changes: Partial<DataFolderOptions> = {}): DataFolderOptions {
  return {
    path: '/data/n1',
    config: configOf('demo', COORDINATORS),
    node: nodeId('n1'),
    disk: new MemoryDisk(),
    clock: new VirtualClock(),
    rng: createSeededRng(1),
    ...changes,
  };
}

function configOf(cluster: string, coordinators: DataFolderOptions['config']['coordinators']) {
  return { cluster, coordinators, fingerprint: fingerprintOf(cluster, coordinators) };
}

t.test(
  'the first start makes an identity, later ones find it, and each has a larger epoch',
  async (t) => {
    const same = options();
    const first = await openDataFolder(same);
    t.ok(first.isNew);
    t.match(first.identity, { cluster: 'demo', node: 'n1', coordinators: ['n1', 'n2', 'n3'] });
    t.match(first.identity.incarnation, /^[0-9a-f]{32}$/);
    await first.close();
    const second = await openDataFolder({ ...same, rng: createSeededRng(2) });
    t.notOk(second.isNew);
    t.same(second.identity, first.identity);
    t.equal(second.bootEpoch, first.bootEpoch + 1);
  },
);

t.test('the epoch is durable before it is used', async (t) => {
  const disk = new MemoryDisk();
  const first = await openDataFolder(options({ disk }));
  disk.crash();
  const second = await openDataFolder(options({ disk }));
  t.ok(second.bootEpoch > first.bootEpoch);
});

t.test(
  'a node whose disk was replaced is newer than its former self, and another incarnation',
  async (t) => {
    const clock = new VirtualClock();
    const before = await openDataFolder(options({ clock }));
    clock.advance(5000);
    const after = await openDataFolder(options({ clock, rng: createSeededRng(2) }));
    t.ok(after.bootEpoch > before.bootEpoch);
    t.not(after.identity.incarnation, before.identity.incarnation);
  },
);

const FOREIGN: Readonly<Record<string, readonly [Partial<DataFolderOptions>, RegExp]>> = {
  'another cluster': [
    { config: configOf('other', COORDINATORS) },
    /holds the data of cluster "demo", and the config says "other"/,
  ],
  'another node': [{ node: nodeId('n2') }, /holds the data of node "n1", and the config says "n2"/],
  'other coordinators': [
    { config: configOf('demo', ['n1', 'n2', 'n4'].map(nodeId)) },
    /coordinators n1, n2, n3, and the config says n1, n2, n4/,
  ],
};

for (const [what, [changes, text]] of Object.entries(FOREIGN)) {
  t.test(`data of ${what} is refused, with what differs and what to do`, async (t) => {
    const disk = new MemoryDisk();
    await openDataFolder(options({ disk }));
    const error = await openDataFolder(options({ disk, ...changes })).catch((e: unknown) => e);
    t.match(error, { code: 'FOREIGN_DATA', message: text });
    t.match(String(error), /correct the config or choose another dataDir/);
  });
}

async function writeSealed(disk: MemoryDisk, file: string, value: object): Promise<void> {
  const crc = crc32c(new TextEncoder().encode(JSON.stringify(value)));
  const text = JSON.stringify({ ...value, crc });
  await disk.writeFileDurable(`/data/n1/${file}`, new TextEncoder().encode(text));
}

t.test('data of a newer version is refused', async (t) => {
  const disk = new MemoryDisk();
  const { identity } = await openDataFolder(options({ disk }));
  await writeSealed(disk, 'identity.json', { ...identity, formatVersion: 99 });
  await t.rejects(openDataFolder(options({ disk })), { code: 'FOREIGN_DATA', message: /newer/ });
});

t.test('an identity that does not say whose data it is is refused', async (t) => {
  const disk = new MemoryDisk();
  await openDataFolder(options({ disk }));
  await writeSealed(disk, 'identity.json', { epoch: 'x', cluster: 5 });
  await t.rejects(openDataFolder(options({ disk })), { code: 'CORRUPT', message: 'identity.json' });
});

for (const file of ['identity.json', 'identity.copy.json', 'epoch.json']) {
  for (const content of ['', '{', '[]', '{"epoch":"x","cluster":5}']) {
    t.test(`a damaged ${file} (${content || 'empty'}) is found and written anew`, async (t) => {
      const disk = new MemoryDisk();
      const before = await openDataFolder(options({ disk }));
      const bytes = new TextEncoder().encode(content);
      await disk.writeFileDurable(`/data/n1/${file}`, bytes);
      const after = await openDataFolder(options({ disk }));
      t.same(after.identity, before.identity, 'the same node');
      t.same(after.repaired, [file]);
      t.same((await openDataFolder(options({ disk }))).repaired, []);
    });
  }
}

t.test('every single flipped bit of an identity is found', async (t) => {
  const disk = new MemoryDisk();
  const { identity } = await openDataFolder(options({ disk }));
  const path = '/data/n1/identity.json';
  const { length } = await disk.readFile(path, 1_000);
  for (let bit = 0; bit < (length - 1) * 8; bit += 1) {
    disk.flipBit(path, bit);
    const again = await openDataFolder(options({ disk }));
    t.same(again.identity, identity);
    t.same(again.repaired, ['identity.json'], `bit ${bit}`);
  }
});

t.test('where both identities are gone the node is another incarnation of the same', async (t) => {
  const disk = new MemoryDisk();
  const before = await openDataFolder(options({ disk }));
  for (const file of ['identity.json', 'identity.copy.json']) {
    await disk.writeFileDurable(`/data/n1/${file}`, new Uint8Array(3));
  }
  const after = await openDataFolder(options({ disk, rng: createSeededRng('another') }));
  t.equal(after.isNew, false);
  t.equal(after.identity.node, before.identity.node);
  t.not(after.identity.incarnation, before.identity.incarnation);
});

t.test('a folder is opened once: the second start names the process that has it', async (t) => {
  const path = await temporaryFolder(t);
  const real = options({ path, disk: createRealDisk(), lock: lockFolder });
  const first = await openDataFolder(real);
  await t.rejects(openDataFolder(real), {
    code: 'FOLDER_LOCKED',
    message: new RegExp(`is in use by process ${process.pid}`),
  });
  await first.close();
  await first.close();
  const second = await openDataFolder(real);
  await second.close();
  await t.rejects(openDataFolder({ ...real, node: nodeId('n2') }), { code: 'FOREIGN_DATA' });
  await (await openDataFolder(real)).close();
});

t.test('of many that start at once, one gets the folder', async (t) => {
  const path = await temporaryFolder(t);
  const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(path)));
  const locks = attempts.filter((attempt) => attempt.status === 'fulfilled');
  t.equal(locks.length, 1);
});

t.test(
  'the lock of a process that is gone is taken over; that of a living one is not',
  async (t) => {
    const path = await temporaryFolder(t);
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
      stdio: 'ignore',
    });
    await once(child, 'spawn');
    const pid = must(child.pid, 'pid');
    // As the child would have written it.
    const lock = await lockFolder(path);
    const own = JSON.parse(await readFile(join(path, 'lock'), 'utf8')) as Record<string, unknown>;
    await lock.release();
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    await writeFile(join(path, 'lock'), JSON.stringify({ ...own, pid, started }));
    await t.rejects(lockFolder(path), { code: 'FOLDER_LOCKED', data: { pid } });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await (await lockFolder(path)).release();
  },
);

for (const [what, content] of [
  ['of another boot of the machine', JSON.stringify({ pid: process.pid, started: '1', boot: 'x' })],
  ['that is empty', ''],
  ['that is noise', '\u0000{'],
] as const) {
  t.test(`a lock ${what} is stale`, async (t) => {
    const path = await temporaryFolder(t);
    await writeFile(join(path, 'lock'), content);
    await (await lockFolder(path)).release();
    t.pass();
  });
}
