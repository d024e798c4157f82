/** The config file: what is refused, what is filled in, what comes back. */
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import {
  type ClusterConfig,
  fingerprintOf,
  formatClusterConfig,
  type IdunnoError,
  isIdunnoError,
  loadClusterConfig,
  parseClusterConfig,
  relocateClusterConfig,
  writeClusterConfig,
} from '../../src/base/index.js';
import { temporaryFolder } from './temporary.js';

const PATH = '/etc/idunno.yaml';

const GOOD = `cluster: demo
coordinators: [n1, n2, n3]
nodes:
  - { name: n1, host: 127.0.0.1, port: 7301, http: 7401 }
  - { name: n2, host: 127.0.0.1, port: 7302 }
  - { name: n3, host: 127.0.0.1, port: 7303, slots: 2, labels: { rack: a } }
`;

/** The problems of a text, as \`line:column text\`. */
function problemsOf(text: string): string[] {
  try {
    parseClusterConfig(text, PATH);
    return [];
  } catch (error) {
    if (!isIdunnoError(error, 'BAD_CONFIG')) throw error;
    const [, ...lines] = error.message.split('\n');
    return lines.map((line) => line.trim().slice(PATH.length + 1));
  }
}

t.test('a good file is read, with presets and defaults filled in', async (t) => {
  const config = parseClusterConfig(GOOD, PATH);
  t.match(config, {
    path: PATH,
    cluster: 'demo',
    preset: 'local',
    coordinators: ['n1', 'n2', 'n3'],
    raft: { heartbeatMs: 50, electionMinMs: 150, electionMaxMs: 300 },
    swim: { periodMs: 500, ackTimeoutMs: 100, suspectAtMs: 200, failAfterMs: 1000 },
    sdfs: { copies: 4, repairDelayMs: 10_000 },
  });
  const [n1, n2, n3] = config.nodes;
  t.match(n1, { port: 7301, http: 7401, slots: 1, labels: {}, dataDir: '/etc/data/n1' });
  t.equal(n2?.http, undefined);
  t.match(n3, { slots: 2, labels: { rack: 'a' } });
});

t.test('presets bring their timings, and keys override single ones', async (t) => {
  const lan = parseClusterConfig(`preset: lan\n${GOOD}raft: { electionMaxMs: 900 }\n`, PATH);
  t.same(lan.raft, { heartbeatMs: 50, electionMinMs: 250, electionMaxMs: 900 });
  const slow = parseClusterConfig(`preset: test\n${GOOD}`, PATH);
  t.same(slow.raft, { heartbeatMs: 100, electionMinMs: 1000, electionMaxMs: 2000 });
});

t.test('ten mistakes are ten lines, each with its place', async (t) => {
  const text = `cluster: demo cluster
colour: red
preset: lokal
coordinators: [n1, n2, nn3]
nodes:
  - { name: n1, host: 127.0.0.1, port: 7301, prot: 1 }
  - { name: n1, host: 127.0.0.1, port: 7302 }
  - { name: n2, host: 10.0.0.4, port: 7303 }
  - { name: n3, host: 127.0.0.1, port: 7301 }
  - { name: n4, host: 127.0.0.1, port: 70000 }
sdfs: { copies: many }
`;
  const problems = problemsOf(text);
  t.equal(problems.length, 10);
  const expected = [
    /^1:1: cluster must be 1 to 64 letters/,
    /^2:1: unknown key "colour": known are cluster, preset/,
    /^3:1: preset must be "local", "lan" or "test"/,
    /^4:24: "nn3" is not a node: did you mean "n3"\?/,
    /^6:46: unknown key "prot": did you mean "port"\?/,
    /^7:7: node name "n1" is already used by entry 1/,
    /^8:17: host "10\.0\.0\.4" leaves this machine, and links cannot be secured yet: use 127\.0\.0\.1/,
    /^9:34: port 7301 on 127\.0\.0\.1 is already taken by port of n1/,
    /^10:34: nodes\[4\]\.port must be a whole number from 1 to 65535/,
    /^11:9: sdfs\.copies must be a whole number from 1 to 16/,
  ];
  for (const [i, pattern] of expected.entries()) t.match(problems[i], pattern);
});

t.test('the title counts the problems and names the file', async (t) => {
  t.throws(() => parseClusterConfig(GOOD.replace('7302', '7301'), PATH), {
    message: /^the config \/etc\/idunno\.yaml has a problem:\n/,
    data: { problems: 1 },
  });
});

const SINGLE: Readonly<Record<string, readonly [text: string, problem: RegExp]>> = {
  'broken YAML': ['cluster: [', /^1:\d+: /],
  'an empty file': ['', /cluster is missing: it must be a text/],
  'a list instead of keys': ['- a\n- b\n', /the file must be a map of keys/],
  'a missing key': [GOOD.replace('cluster: demo', 'preset: lan'), /cluster is missing/],
  'a key twice': [`${GOOD}cluster: again\n`, /^7:1: Map keys must be unique/],
  'no nodes': ['cluster: a\ncoordinators: [n1]\nnodes: []\n', /nodes must have at least one node/],
  'no coordinators': [GOOD.replace('[n1, n2, n3]', '[]'), /coordinators must name at least one/],
  'a coordinator twice': [GOOD.replace('n1, n2, n3', 'n1, n2, n2'), /^2:24: "n2" is named twice/],
  'http on the port of another': [
    GOOD.replace('http: 7401', 'http: 7302'),
    /^5:34: port 7302 on 127\.0\.0\.1 is already taken by http of n1/,
  ],
  'localhost and 127.0.0.1 as one host': [
    GOOD.replace('127.0.0.1, port: 7302', 'localhost, port: 7301'),
    /^5:\d+: port 7301 on localhost is already taken/,
  ],
  'two nodes in one folder': [
    GOOD.replace('port: 7302', 'port: 7302, dataDir: data/n1'),
    /^5:46: dataDir \/etc\/data\/n1 is already used by n1/,
  ],
  'a secret': [`secret: abc\n${GOOD}`, /^1:1: secret is not used yet: links cannot be secured/],
  'an election shorter than three heartbeats': [
    `${GOOD}raft:\n  electionMinMs: 100\n`,
    /^8:3: electionMinMs 100 must be at least 3 × heartbeatMs \(50\)/,
  ],
  'an election span that is too narrow': [
    `${GOOD}raft: { electionMaxMs: 160 }\n`,
    /^7:9: electionMaxMs 160 must be at least 1\.5 × electionMinMs \(150\)/,
  ],
  'an acknowledgement awaited too long': [
    `${GOOD}swim: { ackTimeoutMs: 200 }\n`,
    /^7:9: ackTimeoutMs 200 must be less than suspectAtMs \(200\)/,
  ],
  'a fraction of a millisecond': [`${GOOD}raft: { heartbeatMs: 0.5 }\n`, /must be a whole number/],
  'a number as a name': [GOOD.replace('name: n2', 'name: 2'), /nodes\[1\]\.name must be a text/],
};

for (const [what, [text, problem]] of Object.entries(SINGLE)) {
  t.test(`${what} is refused with its place`, async (t) => {
    t.match(problemsOf(text).join('\n'), problem);
  });
}

t.test('an even number of coordinators is a warning', async (t) => {
  const warnings: string[] = [];
  parseClusterConfig(GOOD.replace('[n1, n2, n3]', '[n1, n2]'), PATH, {
    onWarning: (text) => warnings.push(text),
  });
  t.same(warnings, [
    '/etc/idunno.yaml:2:1: 2 coordinators survive no more failures than 1: use an odd number',
  ]);
});

t.test('folders are relative to the file, to dataRoot, or to the root given by hand', async (t) => {
  const folders = (text: string, dataRoot?: string) =>
    parseClusterConfig(text, PATH, dataRoot === undefined ? {} : { dataRoot }).nodes.map(
      (node) => node.dataDir,
    );
  t.same(folders(`dataRoot: ../var\n${GOOD}`), ['/var/n1', '/var/n2', '/var/n3']);
  t.equal(folders(GOOD.replace('port: 7302', 'port: 7302, dataDir: x'))[1], '/etc/x');
  t.equal(folders(GOOD.replace('port: 7302', 'port: 7302, dataDir: /x'), '/root')[1], '/root/n2');
});

t.test(
  'the fingerprint covers cluster and coordinators, in any order, and nothing else',
  async (t) => {
    const config = parseClusterConfig(GOOD, PATH);
    t.equal(config.fingerprint, fingerprintOf('demo', ['n3', 'n1', 'n2']));
    t.equal(parseClusterConfig(`preset: lan\n${GOOD}`, PATH).fingerprint, config.fingerprint);
    t.not(fingerprintOf('demo', ['n1', 'n2']), config.fingerprint);
    t.not(fingerprintOf('other', ['n1', 'n2', 'n3']), config.fingerprint);
  },
);

t.test('a config that is written reads back the same', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'sub/cluster.yaml');
  const config: ClusterConfig = { ...parseClusterConfig(`preset: lan\n${GOOD}`, PATH), path };
  await writeClusterConfig(config);
  t.same(await loadClusterConfig(path), config);
  t.same(parseClusterConfig(formatClusterConfig(config), path), config);
});

t.test(
  'a relocated config has other ports, folders and timings, and the same fingerprint',
  async (t) => {
    const config = parseClusterConfig(GOOD, PATH);
    const moved = relocateClusterConfig(config, {
      path: '/tmp/x/cluster.yaml',
      dataRoot: '/tmp/x/data',
      ports: [1001, 1002, 1003],
      preset: 'test',
    });
    t.same(
      moved.nodes.map((node) => [node.port, node.http, node.dataDir]),
      [
        [1001, undefined, '/tmp/x/data/n1'],
        [1002, undefined, '/tmp/x/data/n2'],
        [1003, undefined, '/tmp/x/data/n3'],
      ],
    );
    t.equal(moved.raft.electionMinMs, 1000);
    t.equal(moved.fingerprint, config.fingerprint);
    const tooFew = { path: '/x', dataRoot: '/y', ports: [1] };
    t.throws(() => relocateClusterConfig(config, tooFew), { code: 'BAD_ARGUMENT' });
  },
);

t.test('a file that is not there is told as such', async (t) => {
  await t.rejects(loadClusterConfig('/nowhere/c.yaml'), {
    code: 'BAD_CONFIG',
    message: 'cannot read the config /nowhere/c.yaml: there is no such file',
  });
});

t.test(
  'the ready clusters load without warnings; the example of ten hosts is for later',
  async (t) => {
    const folder = await configFolder();
    const ready = { 'local-3': [3, 3], 'local-5': [5, 5], 'local-10': [10, 7] };
    const roots = new Set<string>();
    for (const [name, [nodes, coordinators]] of Object.entries(ready)) {
      const config = await loadClusterConfig(join(folder, `${name}.yaml`), {
        onWarning: (text) => t.fail(text),
      });
      t.same([config.nodes.length, config.coordinators.length], [nodes, coordinators]);
      t.equal(config.cluster, name);
      for (const node of config.nodes)
        roots.add(node.dataDir).add(`${node.port}`).add(`${node.http}`);
    }
    t.equal(roots.size, 3 * (3 + 5 + 10), 'they can run side by side');
    const example = await loadClusterConfig(join(folder, 'example-10-hosts.yaml')).catch(
      (error: IdunnoError) => error,
    );
    t.match(example, { code: 'BAD_CONFIG', data: { problems: 10 } });
    const problems = String(example).split('\n').slice(1);
    t.ok(problems.every((line) => line.includes('links cannot be secured yet')));
  },
);

async function configFolder(): Promise<string> {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!(await readdir(folder)).includes('package.json')) folder = dirname(folder);
  return join(folder, 'config');
}
