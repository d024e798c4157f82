/** Nodes and clients on a network in memory, under virtual time: what the tests of rpc run on. */
import {
  type Connection,
  createMemoryLogger,
  createSeededRng,
  type MemoryLogger,
  type Network,
  type NodeId,
  nodeId,
  VirtualClock,
} from '../../src/base/index.js';
import {
  type Address,
  createRpc,
  MemoryNetwork,
  type Peer,
  type PeerEvents,
  type RpcServer,
} from '../../src/net/index.js';

const HOST = '127.0.0.1';

export interface Process {
  readonly name: NodeId;
  readonly rpc: RpcServer;
  readonly logger: MemoryLogger;
  /** `up n2@1`, `down n2@1 refused`, in order. */
  readonly events: string[];
}

export interface ProcessOptions {
  readonly bootEpoch?: number;
  readonly cluster?: string;
  readonly fingerprint?: string;
  readonly protocolVersion?: number;
  readonly kind?: Peer['kind'];
  /** What the process uses in place of its own view of the network. */
  readonly through?: (network: Network) => Network;
}

export class World {
  readonly clock = new VirtualClock();
  readonly network: MemoryNetwork;
  readonly #ports = new Map<string, number>();

  constructor(seed: number | string = 1) {
    this.network = new MemoryNetwork({ clock: this.clock, rng: createSeededRng(seed) });
  }

  /** A process that listens where its name says; all know each other's addresses. */
  async start(name: string, options: ProcessOptions = {}): Promise<Process> {
    const started = this.create(name, options);
    await this.until(started.rpc.listen(HOST, this.address(name).port));
    return started;
  }

  /** A process that does not listen. */
  create(name: string, options: ProcessOptions = {}): Process {
    const logger = createMemoryLogger(this.clock);
    const network = this.network.node(name);
    const rpc = createRpc({
      self: { name, kind: options.kind ?? 'node', bootEpoch: options.bootEpoch ?? 1 },
      cluster: options.cluster ?? 'test',
      fingerprint: options.fingerprint ?? 'f1',
      ...(options.protocolVersion === undefined
        ? {}
        : { protocolVersion: options.protocolVersion }),
      network: options.through?.(network) ?? network,
      clock: this.clock,
      logger,
    });
    for (const other of ['n1', 'n2', 'n3']) rpc.setAddress(nodeId(other), this.address(other));
    const events: string[] = [];
    rpc.onPeer(recorder(events));
    return { name: nodeId(name), rpc, logger, events };
  }

  address(name: string): Address {
    let port = this.#ports.get(name);
    if (port === undefined) {
      port = 5000 + this.#ports.size;
      this.#ports.set(name, port);
    }
    return { host: HOST, port };
  }

  /** A bare connection of a stranger, and all that it received. */
  async connect(to: string): Promise<{ connection: Connection; closed: Promise<void> }> {
    const { host, port } = this.address(to);
    const connection = await this.until(this.network.node('stranger').connect(host, port, 1000));
    connection.onData(() => undefined);
    return { connection, closed: new Promise((resolve) => connection.onClose(() => resolve())) };
  }

  until<T>(promise: Promise<T>): Promise<T> {
    return this.clock.runUntil(promise);
  }

  /** The error that the promise rejects with. */
  failure(promise: Promise<unknown>): Promise<unknown> {
    return this.until(
      promise.then(
        (value) => {
          throw new Error(`it succeeded with ${JSON.stringify(value)}`);
        },
        (error: unknown) => error,
      ),
    );
  }

  pass(ms: number): Promise<void> {
    return this.clock.advanceSettled(ms);
  }
}

function recorder(events: string[]): PeerEvents {
  return {
    up: (peer) => events.push(`up ${peer.name}@${peer.bootEpoch}`),
    down: (peer, reason) => events.push(`down ${peer.name}@${peer.bootEpoch} ${reason}`),
  };
}
