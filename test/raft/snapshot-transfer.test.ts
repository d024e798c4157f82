/**
 * Snapshots between two nodes: in chunks, checked one by one and as a whole, resumed after a broken
 * connection and after a restart of the receiver; one follower's transfer holds up nothing else.
 */
import t from 'tap';
import {
  createSeededRng,
  createSilentLogger,
  IdunnoError,
  MemoryDisk,
  nodeId,
  type NodeId,
  VirtualClock,
} from '../../src/base/index.js';
import type { Handler, Rpc, Wire } from '../../src/net/index.js';
import type { ReplicatedMachine, SnapshotMeta } from '../../src/raft/index.js';
import { SNAPSHOT_METHODS, SnapshotTransfer } from '../../src/raft/snapshot-transfer.js';

const CONF = { voters: ['n1', 'n2', 'n3'].map(nodeId), outgoing: [], learners: [] };
const [LEADER, FOLLOWER] = [nodeId('n1'), nodeId('n2')];

/** A state of numbered lines; what was staged is kept as text. */
class Lines {
  opened = 0;
  closed = 0;
  staged: string | undefined;
  refuse = false;
  readonly #index: number;
  readonly #text: string;

  constructor(index: number, text: string) {
    this.#index = index;
    this.#text = text;
  }

  async image() {
    const parts = this.#text.match(/.{1,7}/gs) ?? [];
    this.opened += 1;
    return {
      index: this.#index,
      term: 3,
      open: async function* () {
        for (const part of parts) yield Buffer.from(part);
      },
      close: async () => {
        this.closed += 1;
      },
    };
  }

  async stage(_meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    if (this.refuse) throw new IdunnoError('CORRUPT', 'its checksum does not match');
    this.staged = Buffer.concat(parts).toString();
  }
}

type Meddle = (method: string, args: readonly Wire[], body: Uint8Array | undefined) => Uint8Array;

/** A leader and a follower whose disk survives restarts; calls may be meddled with. */
class Pair {
  readonly clock = new VirtualClock();
  readonly disk = new MemoryDisk();
  readonly leaderLines: Lines;
  readonly outcomes: [NodeId, number, boolean][] = [];
  readonly stagedAt: number[] = [];
  readonly sentChunks: number[] = [];
  refusals = 0;
  meddle: Meddle | undefined;
  /** Where the leader's log begins. */
  logFrom = 0;
  followerLines = new Lines(0, '');
  leader: SnapshotTransfer;
  #handlers = new Map<string, Handler>();
  #follower: SnapshotTransfer;

  constructor(text: string) {
    this.leaderLines = new Lines(50, text);
    this.leader = this.#create(this.leaderLines, this.#rpcOf(new Map(), LEADER));
    this.#follower = this.#create(this.followerLines, this.#rpcOf(this.#handlers, FOLLOWER));
  }

  restartFollower(): void {
    this.#follower.stop();
    this.disk.crash();
    this.#handlers = new Map();
    this.followerLines = new Lines(0, '');
    this.#follower = this.#create(this.followerLines, this.#rpcOf(this.#handlers, FOLLOWER));
  }

  #create(lines: Lines, rpc: Rpc): SnapshotTransfer {
    return new SnapshotTransfer({
      rpc,
      clock: this.clock,
      rng: createSeededRng('pair'),
      disk: this.disk,
      log: createSilentLogger(),
      machine: lines as unknown as ReplicatedMachine,
      spoolPath: '/raft/incoming',
      term: () => 3,
      confAt: (index) => (index >= this.logFrom ? CONF : undefined),
      onSent: (to, index, ok) => this.outcomes.push([to, index, ok]),
      onStaged: (_from, _term, { index }) => this.stagedAt.push(index),
      onSnapshotRefused: () => {
        this.refusals += 1;
      },
      chunkBytes: 10,
    });
  }

  #rpcOf(own: Map<string, Handler>, self: NodeId): Rpc {
    const call = async (_to: NodeId, method: string, args: readonly Wire[], options: object) => {
      let { body } = options as { body?: Uint8Array };
      if (method === SNAPSHOT_METHODS.chunk) this.sentChunks.push(args[2] as number);
      if (this.meddle !== undefined) body = this.meddle(method, args, body);
      const handler = this.#handlers.get(method);
      if (handler === undefined) throw new IdunnoError('CONNECTION_LOST', 'nobody there');
      const bodies = (async function* () {
        if (body !== undefined) yield body;
      })();
      const peer = { kind: 'node', name: self, bootEpoch: 1 };
      return handler(args, bodies, { peer, signal: new AbortController().signal } as never);
    };
    return { handle: (name: string, handler: Handler) => own.set(name, handler), call } as never;
  }
}

async function pairOf(text: string): Promise<Pair> {
  const pair = new Pair(text);
  await pair.disk.mkdir('/raft');
  return pair;
}

const TEXT = Array.from({ length: 9 }, (_, at) => `line ${at};`).join('');
const CHUNKS = Math.ceil(TEXT.length / 10);

t.test('a snapshot arrives whole, chunk by chunk, and leaves nothing behind', async (t) => {
  const pair = await pairOf(TEXT);
  await pair.leader.send(FOLLOWER);
  t.equal(pair.followerLines.staged, TEXT);
  t.same(pair.outcomes, [[FOLLOWER, 50, true]]);
  t.same(pair.stagedAt, [50]);
  t.same(
    pair.sentChunks,
    Array.from({ length: CHUNKS }, (_, at) => at),
  );
  t.equal(pair.leaderLines.closed, 1);
  t.same(await pair.disk.list('/raft'), []);
});

t.test('an empty state is a snapshot, too', async (t) => {
  const pair = await pairOf('');
  await pair.leader.send(FOLLOWER);
  t.equal(pair.followerLines.staged, '');
});

for (const restarts of [false, true]) {
  const when = restarts ? 'a restart of the receiver' : 'a broken connection';
  t.test(`after ${when} it goes on where it was, with the same image`, async (t) => {
    for (let cutAt = 0; cutAt < CHUNKS; cutAt += 1) {
      const pair = await pairOf(TEXT);
      pair.meddle = (_method, args, body) => {
        if (args[2] === cutAt && body !== undefined) {
          throw new IdunnoError('CONNECTION_LOST', 'the line is cut');
        }
        return body as Uint8Array;
      };
      await pair.leader.send(FOLLOWER);
      t.same(pair.outcomes, [[FOLLOWER, 50, false]]);
      t.equal(pair.followerLines.staged, undefined);
      pair.meddle = undefined;
      if (restarts) pair.restartFollower();
      pair.sentChunks.length = 0;
      await pair.leader.send(FOLLOWER);
      t.equal(pair.followerLines.staged, TEXT);
      t.equal(pair.sentChunks[0], cutAt, 'nothing is sent twice');
      t.equal(pair.leaderLines.opened, 1);
      t.same(pair.outcomes.at(-1), [FOLLOWER, 50, true]);
    }
  });
}

t.test('a chunk that the receiver lost half of in a crash is sent again', async (t) => {
  const pair = await pairOf(TEXT);
  pair.meddle = (_method, args, body) => {
    if (args[2] === 4 && body !== undefined) throw new IdunnoError('CONNECTION_LOST', 'cut');
    return body as Uint8Array;
  };
  await pair.leader.send(FOLLOWER);
  pair.meddle = undefined;
  const file = await pair.disk.open('/raft/incoming', 'update');
  await file.truncate((await file.bytes()) - 3);
  await file.datasync();
  await file.close();
  pair.restartFollower();
  pair.sentChunks.length = 0;
  await pair.leader.send(FOLLOWER);
  t.equal(pair.sentChunks[0], 3);
  t.equal(pair.followerLines.staged, TEXT);
});

t.test(
  'a chunk that arrives damaged is asked for again; one that always does ends it',
  async (t) => {
    const pair = await pairOf(TEXT);
    let damages = 2;
    pair.meddle = (_method, args, body) => {
      if (args[2] !== 3 || body === undefined || damages === 0) return body as Uint8Array;
      damages -= 1;
      const copy = Uint8Array.from(body);
      copy[0] = (copy[0] ?? 0) ^ 1;
      return copy;
    };
    await pair.leader.send(FOLLOWER);
    t.equal(pair.followerLines.staged, TEXT);
    t.same(
      pair.sentChunks.filter((nth) => nth === 3),
      [3, 3, 3],
    );
    damages = Number.POSITIVE_INFINITY;
    await pair.leader.send(FOLLOWER);
    t.equal(pair.outcomes.at(-1)?.[2], false);
  },
);

t.test('an image that turns out to be damaged is not sent again', async (t) => {
  const pair = await pairOf(TEXT);
  pair.followerLines.refuse = true;
  await pair.leader.send(FOLLOWER);
  t.equal(pair.outcomes.at(-1)?.[2], false);
  t.equal(pair.refusals, 1, 'and its owner is told to look at its rows');
  t.equal(pair.leaderLines.closed, 1);
  pair.followerLines.refuse = false;
  await pair.leader.send(FOLLOWER);
  t.equal(pair.leaderLines.opened, 2);
  t.equal(pair.followerLines.staged, TEXT);
});

t.test('an image that the log has left behind, or that nobody takes, is let go of', async (t) => {
  const pair = await pairOf(TEXT);
  pair.meddle = () => {
    throw new IdunnoError('CONNECTION_LOST', 'nobody there');
  };
  await pair.leader.send(FOLLOWER);
  t.equal(pair.leaderLines.closed, 0);
  await pair.clock.advanceSettled(61_000);
  t.equal(pair.leaderLines.closed, 1);
  await pair.leader.send(FOLLOWER);
  pair.logFrom = 51;
  await pair.leader.send(FOLLOWER);
  t.equal(pair.leaderLines.closed, 2, 'its members are not known any more');
  t.equal(pair.leaderLines.opened, 3);
  pair.leader.stop();
  t.equal(pair.leaderLines.closed, 3);
});
