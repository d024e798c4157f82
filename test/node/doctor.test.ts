/** `idunno raft doctor`: what it says of a stopped node's folder, and that it changes nothing. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  createRealDisk,
  createSeededRng,
  createSilentLogger,
  fingerprintOf,
  lockFolder,
  nodeId,
  type NodeConfig,
  openDataFolder,
  openLevelDatabase,
  VirtualClock,
} from '../../src/base/index.js';
import { diagnose } from '../../src/node/index.js';
import { type Entry, LevelLogStore } from '../../src/raft/index.js';
import { StateMachine } from '../../src/store/index.js';

const VOTERS = ['n1', 'n2', 'n3'].map(nodeId);
const LOG: Entry[] = [1, 2, 3, 4].map((index) => ({
  index,
  term: 2,
  kind: 'noop',
  timeMs: index,
  data: new Uint8Array(40),
}));

/** A folder as a coordinator leaves it when it stops. */
async function stopped(t: Test): Promise<NodeConfig> {
  const dataDir = await mkdtemp(join(tmpdir(), 'idunno-doctor-test-'));
  t.teardown(() => rm(dataDir, { recursive: true, force: true }));
  const disk = createRealDisk();
  const clock = new VirtualClock();
  const log = createSilentLogger();
  const config = {
    cluster: 'demo',
    coordinators: VOTERS,
    fingerprint: fingerprintOf('demo', VOTERS),
  };
  const rng = createSeededRng('doctor');
  const node = nodeId('n1');
  await (await openDataFolder({ path: dataDir, config, node, disk, clock, rng })).close();
  const folder = join(dataDir, 'raft');
  await disk.mkdir(folder);
  const db = await openLevelDatabase(join(folder, 'log'), { compression: false });
  const store = new LevelLogStore(
    { folder, watermarkPath: join(folder, 'watermark') },
    { db, disk, clock, log },
  );
  await store.load();
  const conf = { voters: VOTERS, outgoing: [], learners: [] };
  await store.reset({ index: 0, term: 0, conf }, { term: 2, vote: nodeId('n2') });
  await store.write({ append: LOG });
  await store.close();
  const machine = await StateMachine.open(
    { folder: join(dataDir, 'state'), modules: [] },
    { disk, log, openDatabase: openLevelDatabase, onFatal: (error) => t.fail(error.message) },
  );
  machine.apply(LOG);
  await machine.close();
  return { name: node, dataDir } as NodeConfig;
}

async function hashOf(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const names = (await readdir(folder, { recursive: true })).sort();
  for (const name of names) {
    const path = join(folder, name);
    hash.update(name);
    if ((await stat(path)).isFile()) hash.update(await readFile(path));
  }
  return hash.digest('hex');
}

async function said(node: NodeConfig): Promise<string> {
  const { findings } = await diagnose(node);
  return findings
    .filter(({ isSound }) => !isSound)
    .map(({ part, says, means, next }) => `${part}: ${says}; ${means}; ${next}`)
    .join('\n');
}

t.test('a sound folder is called sound, and is not touched', async (t) => {
  const node = await stopped(t);
  const before = await hashOf(node.dataDir);
  const diagnosis = await diagnose(node);
  t.equal(diagnosis.isSound, true);
  t.match(diagnosis.log, { verdict: 'sound', last: 4, term: 2, vote: 'n2' });
  t.match(diagnosis.state, { index: 4, sum: /^\d+-[0-9a-f]{8}-[0-9a-f]{8}$/ });
  t.equal(await hashOf(node.dataDir), before);
});

t.test('damage is found, explained, and left as it is', async (t) => {
  const cases: Record<string, [(node: string) => Promise<void>, RegExp]> = {
    'the watermark gone': [
      (folder) => rm(join(folder, 'raft/watermark')),
      /log: its watermark file is missing.*must neither vote nor lead.*start it/,
    ],
    'one slot of the watermark': [
      async (folder) => {
        const path = join(folder, 'raft/watermark');
        const bytes = await readFile(path);
        bytes[20] = (bytes[20] ?? 0) ^ 1;
        await writeFile(path, bytes);
      },
      /one slot of its watermark is unreadable; nothing is missing/,
    ],
    'the log cut off': [
      async (folder) => {
        const names = await readdir(join(folder, 'raft/log'));
        for (const name of names.filter((file) => file.endsWith('.log'))) {
          const path = join(folder, 'raft/log', name);
          await truncate(path, (await stat(path)).size - 20);
        }
      },
      /log: it is at batch 1.*but batch 2 .* was once durable/,
    ],
    'LevelDB without its CURRENT': [
      (folder) => writeFile(join(folder, 'raft/log/CURRENT'), 'x'),
      /log: the database .*raft\/log is damaged/,
    ],
    'log and watermark': [
      async (folder) => {
        await writeFile(join(folder, 'raft/log/CURRENT'), 'x');
        await writeFile(join(folder, 'raft/watermark'), 'x');
      },
      /must never vote as its old self/,
    ],
    'the state': [
      (folder) => writeFile(join(folder, 'state/CURRENT'), '{}'),
      /state: .*CURRENT is damaged.*moves them aside; start it: the log goes back/,
    ],
    'the identity': [
      (folder) => writeFile(join(folder, 'identity.json'), '{}'),
      /identity: identity.json is damaged/,
    ],
  };
  for (const [what, [damage, expected]] of Object.entries(cases)) {
    const node = await stopped(t);
    await damage(node.dataDir);
    const before = await hashOf(node.dataDir);
    t.match(await said(node), expected, what);
    t.equal(await hashOf(node.dataDir), before, `${what}: nothing is changed`);
  }
});

t.test('a node that runs is left alone, and a folder that is not there is named', async (t) => {
  const node = await stopped(t);
  const lock = await lockFolder(node.dataDir);
  await t.rejects(diagnose(node), { code: 'FOLDER_LOCKED', message: /is in use by process/ });
  await lock.release();
  await rm(node.dataDir, { recursive: true });
  await t.rejects(diagnose(node), { code: 'LOCAL_FILE_NOT_FOUND', message: /never been started/ });
});
