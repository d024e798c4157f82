/** The metadata commands on the real execution of the state machine, without log or network. */
import t from 'tap';
import { createTestStore, NODES, type TestStore } from '../../src/store/index.js';
import { HOLDERS } from '../../src/sdfs/holder-index.js';
import { sdfsModule } from '../../src/sdfs/index.js';
import { BLOBS, INTENTS, TOMBS, VERSIONS } from '../../src/sdfs/tables.js';
import type { Wire } from '../../src/net/index.js';

const SHA = 'a'.repeat(64);
const OTHER_SHA = 'b'.repeat(64);

function createWorld(nodes = 5): TestStore {
  const store = createTestStore([sdfsModule]);
  for (let at = 1; at <= nodes; at += 1) register(store, `n${at}`, 1);
  return store;
}

function register(store: TestStore, name: string, epoch: number): void {
  const facts = { name, epoch, host: 'h', port: 1, slots: 1, bootWallMs: 0 };
  store.apply('nodes.register', [facts]);
}

function mark(store: TestStore, name: string, status: string, epoch = 1): void {
  store.apply('nodes.mark', [{ name, epoch, status }]);
}

function begin(store: TestStore, pack = false): number {
  return store.apply('sdfs.begin', [pack, 4, ['n1', 'n2', 'n3', 'n4', 'n5']]) as number;
}

const HOLDERS_4: Wire = [
  ['n1', 1],
  ['n2', 1],
  ['n3', 1],
  ['n4', 1],
];

function commitArgs(blob: number, name: string, bytes = 10, holders = HOLDERS_4): Wire[] {
  return [blob, SHA, bytes, holders, [[name, bytes, SHA, 0]], null];
}

function put(store: TestStore, name: string, bytes = 10): number {
  const result = store.apply('sdfs.commit', commitArgs(begin(store), name, bytes));
  return (result as [number, number, number[]])[2][0] as number;
}

t.test('versions are numbered by the order of commits, not of begins', async (t) => {
  const store = createWorld();
  const first = begin(store);
  const second = begin(store);
  t.not(first, second, 'each intent has an id of its own');
  t.match(store.apply('sdfs.commit', commitArgs(second, 'a')), [second, Number, [1]]);
  t.match(store.apply('sdfs.commit', commitArgs(first, 'a')), [first, Number, [2]]);
  const newest = (await store.query('sdfs.stat', ['a', 0])) as Wire[];
  t.same([newest[1], newest[6]], [2, first]);
});

t.test('two begins in one log entry get different ids', async (t) => {
  const store = createWorld();
  const args: Wire[] = [false, 4, ['n1']];
  const ids = [1, 2].map(() => store.apply('sdfs.begin', args, { index: 77 }));
  t.not(ids[0], ids[1]);
});

t.test('numbering goes on after a delete, and old versions stay hidden', async (t) => {
  const store = createWorld();
  put(store, 'a');
  put(store, 'a');
  t.equal(store.apply('sdfs.delete', ['a']), 2);
  t.equal(store.refusal('sdfs.delete', ['a']).code, 'FILE_NOT_FOUND');
  await t.rejects(store.query('sdfs.stat', ['a', 0]), { code: 'FILE_NOT_FOUND' });
  t.equal(put(store, 'a'), 3);
  await t.rejects(store.query('sdfs.stat', ['a', 2]), { code: 'VERSION_NOT_FOUND' });
  const versions = (await store.query('sdfs.versions', ['a', 10])) as Wire[][];
  t.same(
    versions.map((version) => version[1]),
    [3],
  );
});

t.test('a commit is refused when its intent is closed', async (t) => {
  const store = createWorld();
  const aborted = begin(store);
  t.equal(store.apply('sdfs.abort', [aborted]), true);
  t.equal(store.apply('sdfs.abort', [aborted]), false);
  t.equal(store.refusal('sdfs.commit', commitArgs(aborted, 'a')).code, 'INTENT_CLOSED');
  const expired = begin(store);
  t.equal(store.apply('sdfs.expire', [[expired]]), 0, 'its time is not over');
  const later = { nowMs: store.nowMs + 11 * 60_000 };
  t.equal(store.apply('sdfs.expire', [[expired]], later), 1);
  t.equal(store.refusal('sdfs.commit', commitArgs(expired, 'a')).code, 'INTENT_CLOSED');
  const done = begin(store);
  store.apply('sdfs.commit', commitArgs(done, 'a'));
  t.equal(store.refusal('sdfs.commit', commitArgs(done, 'a')).code, 'INTENT_CLOSED');
  t.equal(store.rows(VERSIONS).length, 1);
});

t.test('renewing an intent keeps it open', async (t) => {
  const store = createWorld();
  const blob = begin(store);
  store.apply('sdfs.renew', [blob], { nowMs: store.nowMs + 9 * 60_000 });
  t.equal(store.apply('sdfs.expire', [[blob]], { nowMs: store.nowMs + 9 * 60_000 }), 0);
  t.equal(store.refusal('sdfs.renew', [999]).code, 'INTENT_CLOSED');
});

t.test(
  'a commit is refused when a holder is not up in the epoch in which it answered',
  async (t) => {
    for (const status of ['down', 'left']) {
      const store = createWorld();
      mark(store, 'n3', status);
      const refusal = store.refusal('sdfs.commit', commitArgs(begin(store), 'a'));
      t.match(refusal, { code: 'HOLDER_DOWN', data: { node: 'n3' } }, status);
      t.equal(store.rows(VERSIONS).length, 0);
    }
    const store = createWorld();
    register(store, 'n2', 2);
    t.match(store.refusal('sdfs.commit', commitArgs(begin(store), 'a')), { data: { node: 'n2' } });
    const draining = createWorld();
    mark(draining, 'n2', 'draining');
    t.ok(
      draining.apply('sdfs.commit', commitArgs(begin(draining), 'a')),
      'a draining one still holds',
    );
  },
);

t.test(
  'after a refusal the same intent and number can be committed with other holders',
  async (t) => {
    const store = createWorld();
    const blob = begin(store);
    mark(store, 'n4', 'down');
    const token: Wire = [7, 1, 0];
    const args = (holders: Wire): Wire[] => [
      ...commitArgs(blob, 'a', 10, holders).slice(0, 5),
      token,
    ];
    t.equal(store.refusal('sdfs.commit', args(HOLDERS_4)).code, 'HOLDER_DOWN');
    const others: Wire = [
      ['n1', 1],
      ['n2', 1],
      ['n3', 1],
      ['n5', 1],
    ];
    t.match(store.apply('sdfs.commit', args(others)), [blob, Number, [1]]);
  },
);

t.test('a numbered commit takes effect once, also under another intent', async (t) => {
  const store = createWorld();
  const token: Wire = [7, 1, 0];
  const commit = (blob: number): Wire =>
    store.apply('sdfs.commit', [...commitArgs(blob, 'a').slice(0, 5), token]);
  const first = begin(store);
  const result = commit(first);
  t.same(commit(first), result);
  const second = begin(store);
  t.same(commit(second), result);
  t.ok(store.get(INTENTS, [second]), 'the second intent is left to be given up');
  t.equal(store.rows(VERSIONS).length, 1);
  store.apply('sdfs.forget', [store.nowMs + 1, [[7, 1, 0]]]);
  t.match(commit(second), [second, Number, [2]], 'a forgotten number is a new one');
});

t.test('a group is committed whole or not at all', async (t) => {
  const store = createWorld();
  const files: Wire = [
    ['g/1', 3, SHA, 0],
    ['g/2', 4, OTHER_SHA, 3],
    ['g/1', 0, SHA, 7],
  ];
  const blob = begin(store, true);
  const bad = store.refusal('sdfs.commit', [
    blob,
    SHA,
    7,
    HOLDERS_4,
    [...(files as Wire[]), ['', 0, SHA, 7]],
    null,
  ]);
  t.equal(bad.code, 'BAD_NAME');
  t.equal(store.rows(VERSIONS).length, 0);
  t.match(store.apply('sdfs.commit', [blob, SHA, 7, HOLDERS_4, files, null]), [
    blob,
    Number,
    [1, 1, 2],
  ]);
  t.match(store.get(BLOBS, [blob]), {
    pack: true,
    refs: [
      ['g/1', 1],
      ['g/2', 1],
      ['g/1', 2],
    ],
  });
});

t.test('100 files with long names fit one command', async (t) => {
  const store = createWorld();
  const blob = begin(store, true);
  const files: Wire = Array.from({ length: 100 }, (_, at) => [
    `${'x'.repeat(1000)}${at}`,
    1,
    SHA,
    at,
  ]);
  store.apply('sdfs.commit', [blob, SHA, 100, HOLDERS_4, files, [1, 2, 3]]);
  t.equal(store.rows(VERSIONS).length, 100);
});

t.test('what does not fit together is refused', async (t) => {
  const store = createWorld();
  const blob = begin(store);
  const cases: [string, Wire[]][] = [
    [
      'two files without a pack',
      [
        blob,
        SHA,
        2,
        HOLDERS_4,
        [
          ['a', 1, SHA, 0],
          ['b', 1, SHA, 1],
        ],
        null,
      ],
    ],
    ['a gap', [blob, SHA, 2, HOLDERS_4, [['a', 1, SHA, 1]], null]],
    ['a short blob', [blob, SHA, 2, HOLDERS_4, [['a', 1, SHA, 0]], null]],
    ['no file', [blob, SHA, 0, HOLDERS_4, [], null]],
    ['no holder', [blob, SHA, 1, [], [['a', 1, SHA, 0]], null]],
    [
      'a holder twice',
      [
        blob,
        SHA,
        1,
        [
          ['n1', 1],
          ['n1', 1],
        ],
        [['a', 1, SHA, 0]],
        null,
      ],
    ],
    ['a bad hash', [blob, 'xyz', 1, HOLDERS_4, [['a', 1, SHA, 0]], null]],
    ['a negative size', [blob, SHA, -1, HOLDERS_4, [['a', -1, SHA, 0]], null]],
    ['a bad token', [blob, SHA, 1, HOLDERS_4, [['a', 1, SHA, 0]], [1]]],
    ['nothing', []],
  ];
  for (const [what, args] of cases) {
    t.equal(store.refusal('sdfs.commit', args).code, 'BAD_ARGUMENT', what);
  }
});

t.test('names that cannot name a file are refused with the reason', async (t) => {
  const store = createWorld();
  const cases: [string, RegExp][] = [
    ['', /empty/],
    ['x'.repeat(1025), /1025 bytes, at most 1024/],
    ['ü'.repeat(513), /1026 bytes/],
    ['a\0b', /NUL/],
    ['a\nb', /control/],
    ['a\u0085b', /control/],
  ];
  for (const [name, reason] of cases) {
    const refusal = store.refusal('sdfs.commit', commitArgs(begin(store), name));
    t.equal(refusal.code, 'BAD_NAME');
    t.match(refusal.message, reason);
  }
  t.equal(put(store, 'x'.repeat(1024)), 1);
  t.equal(put(store, 'ü/日本 🙂 a:b\\c'), 1);
});

t.test('pruning removes what a delete hid, a few versions at a time', async (t) => {
  const store = createWorld();
  for (let at = 0; at < 60; at += 1) put(store, 'a');
  store.apply('sdfs.delete', ['a']);
  put(store, 'a');
  t.equal(store.apply('sdfs.prune', ['a', 1]), false, 'deleted too recently');
  t.equal(store.rows(VERSIONS).length, 61);
  t.equal(store.apply('sdfs.prune', ['a', store.nowMs + 1]), true, 'more is left');
  t.equal(store.rows(VERSIONS).length, 11);
  t.equal(store.apply('sdfs.prune', ['a', store.nowMs + 1]), false);
  t.same(
    store.rows(VERSIONS).map(([key]) => key),
    [['a', 61]],
  );
  t.equal(store.rows(BLOBS).length, 1);
  t.equal(store.rows(TOMBS).length, 0);
});

t.test('a pack lives until its last file is pruned', async (t) => {
  const store = createWorld();
  const blob = begin(store, true);
  store.apply('sdfs.commit', [
    blob,
    SHA,
    2,
    HOLDERS_4,
    [
      ['a', 1, SHA, 0],
      ['b', 1, SHA, 1],
    ],
    null,
  ]);
  store.apply('sdfs.delete', ['a']);
  store.apply('sdfs.prune', ['a', store.nowMs + 1]);
  t.match(store.get(BLOBS, [blob]), { refs: [['b', 1]] });
  store.apply('sdfs.delete', ['b']);
  store.apply('sdfs.prune', ['b', store.nowMs + 1]);
  t.equal(store.get(BLOBS, [blob]), undefined);
});

t.test(
  'repaired copies are added once, only to nodes that are up, only in the same term',
  async (t) => {
    const store = createWorld(6);
    put(store, 'a');
    const add = (term: number, node: string, epoch = 1): Wire =>
      store.apply('sdfs.add-holders', [term, [[1, node, epoch]]], { term: 3 });
    t.equal(store.refusal('sdfs.add-holders', [2, [[1, 'n5', 1]]], { term: 3 }).code, 'CONFLICT');
    t.equal(add(3, 'n5', 2), 0, 'another epoch');
    t.equal(add(3, 'n5'), 1);
    t.equal(add(3, 'n5'), 0, 'already there');
    mark(store, 'n6', 'down');
    t.equal(add(3, 'n6'), 0, 'down');
    t.equal(store.apply('sdfs.add-holders', [3, [[99, 'n6', 1]]], { term: 3 }), 0, 'no such blob');
    t.same(store.get(BLOBS, [1])?.holders, ['n1', 'n2', 'n3', 'n4', 'n5']);
  },
);

t.test('copies are dropped only while enough remain', async (t) => {
  const store = createWorld();
  put(store, 'a');
  const drop = (reason: string, node: string): Wire =>
    store.apply('sdfs.drop-holders', [reason, [[1, node]]]);
  t.equal(drop('excess', 'n1'), 0, 'four are wanted');
  store.apply('sdfs.add-holders', [1, [[1, 'n5', 1]]]);
  t.equal(drop('excess', 'n1'), 1);
  mark(store, 'n3', 'down');
  mark(store, 'n4', 'down');
  mark(store, 'n5', 'down');
  t.equal(drop('bad', 'n2'), 0, 'no other copy is up');
  t.equal(drop('missing', 'n2'), 1, 'what is not there is not there');
  t.equal(drop('missing', 'n2'), 0);
  t.equal(store.refusal('sdfs.drop-holders', ['mood', []]).code, 'BAD_ARGUMENT');
});

t.test('a full list of holders loses one that is down', async (t) => {
  const store = createWorld(9);
  put(store, 'a');
  for (const node of ['n5', 'n6', 'n7', 'n8']) {
    store.apply('sdfs.add-holders', [1, [[1, node, 1]]]);
  }
  mark(store, 'n3', 'down');
  store.apply('sdfs.add-holders', [1, [[1, 'n9', 1]]]);
  t.same(store.get(BLOBS, [1])?.holders, ['n1', 'n2', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9']);
});

t.test('lists pages by prefix, newest versions only, without deleted files', async (t) => {
  const store = createWorld();
  for (const name of ['a', 'b/1', 'b/2', 'b/2', 'b/3', 'b/4', 'c']) put(store, name);
  store.apply('sdfs.delete', ['b/3']);
  const list = async (prefix: string, after: string | null, limit: number) => {
    const [files, next] = (await store.query('sdfs.list', [prefix, after, limit])) as [
      Wire[][],
      Wire,
    ];
    return [files.map((file) => `${String(file[0])}@${String(file[1])}`), next];
  };
  t.same(await list('b/', null, 10), [['b/1@1', 'b/2@2', 'b/4@1'], null]);
  t.same(await list('b/', null, 2), [['b/1@1', 'b/2@2'], 'b/2']);
  t.same(await list('b/', 'b/2', 2), [['b/4@1'], null]);
  t.same(await list('', null, 100), [['a@1', 'b/1@1', 'b/2@2', 'b/4@1', 'c@1'], null]);
  t.same(await list('zz', null, 100), [[], null]);
});

t.test('selectors are resolved to pinned versions', async (t) => {
  const store = createWorld();
  for (const name of ['d/a.png', 'd/a.png', 'd/b.jpg', 'e/c.png']) put(store, name);
  const resolve = async (selector: Wire): Promise<Wire> =>
    ((await store.query('sdfs.resolve', [selector, null, 100])) as Wire[])[0] ?? null;
  t.same(await resolve({ prefix: 'd/' }), [
    ['d/a.png', 2, 10],
    ['d/b.jpg', 1, 10],
  ]);
  t.same(await resolve({ glob: '*.png' }), [
    ['d/a.png', 2, 10],
    ['e/c.png', 1, 10],
  ]);
  t.same(await resolve({ names: ['e/c.png'] }), [['e/c.png', 1, 10]]);
  await t.rejects(resolve({ names: ['nope'] }), { code: 'FILE_NOT_FOUND' });
  await t.rejects(resolve({}), { code: 'BAD_ARGUMENT' });
});

t.test(
  'holders that are up come first, and pinned versions outlive a delete until pruned',
  async (t) => {
    const store = createWorld();
    put(store, 'a');
    mark(store, 'n1', 'down');
    mark(store, 'n2', 'draining');
    const found = (await store.query('sdfs.stat', ['a', 1])) as Wire[];
    t.same(found[5], ['n3', 'n4', 'n2', 'n1']);
    store.apply('sdfs.delete', ['a']);
    t.match(
      await store.query('sdfs.locate', [
        [
          ['a', 1],
          ['a', 2],
        ],
      ]),
      [['a', 1], null],
    );
  },
);

t.test('what a node holds is listed in pages', async (t) => {
  const store = createWorld();
  for (let at = 0; at < 5; at += 1) put(store, `f${at}`);
  const names: Wire[] = [];
  let after: Wire = 0;
  let pages = 0;
  while (after !== null) {
    const page: Wire[] = (await store.query('sdfs.store', ['n1', after, 2])) as Wire[];
    names.push(...(page[0] as Wire[][]).map((file) => file[0] as string));
    after = page[1] as Wire;
    pages += 1;
  }
  t.same(names, ['f0', 'f1', 'f2', 'f3', 'f4']);
  t.equal(pages, 3);
  t.same(await store.query('sdfs.store', ['n5', 0, 10]), [[], null]);
  await t.rejects(store.query('sdfs.store', ['n99', 0, 10]), { code: 'NODE_NOT_FOUND' });
});

t.test('the report counts files, versions, bytes and what misses copies', async (t) => {
  const store = createWorld();
  put(store, 'a', 5);
  put(store, 'a', 6);
  put(store, 'b', 7);
  t.same(await store.query('sdfs.report', []), [2, 3, 18, 0, 0]);
  mark(store, 'n1', 'down');
  t.same(await store.query('sdfs.report', []), [2, 3, 18, 3, 0]);
  for (const node of ['n2', 'n3', 'n4']) mark(store, node, 'down');
  t.same(await store.query('sdfs.report', []), [2, 3, 18, 0, 3]);
  store.apply('sdfs.delete', ['a']);
  t.match(await store.query('sdfs.report', []), [1, 1, 7]);
});

t.test('the holder index kept by changes equals one rebuilt from the rows', async (t) => {
  const store = createWorld(8);
  for (let at = 0; at < 30; at += 1) put(store, `f${at % 7}`, at);
  store.apply('sdfs.delete', ['f3']);
  store.apply('sdfs.prune', ['f3', store.nowMs + 1]);
  store.apply('sdfs.add-holders', [
    1,
    [
      [1, 'n5', 1],
      [9, 'n6', 1],
    ],
  ]);
  store.apply('sdfs.drop-holders', ['missing', [[2, 'n1']]]);
  begin(store);
  const describe = (index: ReturnType<typeof store.index<unknown>>): unknown => {
    const holders = index as (typeof HOLDERS)['index'] & object;
    return {
      totals: holders.totals,
      sets: [...holders.sets()]
        .map((set) => [set.key, set.versions, [...set.blobs].sort(([a], [b]) => a - b)])
        .sort(),
      nodes: ['n1', 'n5', 'n6'].map((node) => [
        holders.blobsOf(node, 0, 100),
        holders.openIntents(node),
      ]),
    };
  };
  t.same(describe(store.index(HOLDERS)), describe(await store.rebuiltIndex(HOLDERS)));
  t.ok(store.get(NODES, ['n1']));
});

t.test('an outcome tells an uncertain client whether its commit took effect', async (t) => {
  const store = createWorld();
  const blob = begin(store);
  t.equal(await store.query('sdfs.outcome', [blob]), 'open');
  const result = store.apply('sdfs.commit', commitArgs(blob, 'a'));
  t.same(await store.query('sdfs.outcome', [blob]), result);
  t.equal(await store.query('sdfs.outcome', [12345]), 'closed');
});
