/**
 * One Maelstrom node: the project's consensus, driver and all, behind lines of JSON. Any node
 * answers any client: writes go to the leader, reads take their index from it and are served here.
 *
 * What a client is told: an answer of the machine; error 11 where nothing was done (no leader, not
 * taken); error 0 where a write may still take effect.
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  type Logger,
  MemoryDisk,
  type NodeId,
  nodeId,
  type Rng,
} from '../../src/base/index.js';
import { MemoryLogStore, RaftDriver } from '../../src/raft/index.js';
import { KvMachine } from './kv-machine.js';
import { IDUNNO, MaelstromRpc } from './maelstrom-rpc.js';
import {
  type Body,
  type Envelope,
  ERRORS,
  errorBody,
  type Operation,
  parseEnvelope,
  parseOperation,
} from './protocol.js';

export interface LinKvParts {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** One line, without its end. */
  readonly send: (line: string) => void;
  /** The process must end. */
  readonly onFatal: (error: Error) => void;
}

const TIMING = { heartbeatMs: 50, electionMinMs: 300, electionMaxMs: 600 };
/** Small, so that a short run has snapshots. */
const LIMITS = { trailingEntries: 100, compactStep: 50 };
/** Maelstrom's clients give up after five seconds. */
const OPERATION_TIMEOUT_MS = 3_000;
const EXECUTE = 'kv.execute';

export class LinKvNode {
  readonly #parts: LinKvParts;
  readonly #rpc: MaelstromRpc;
  readonly #machine = new KvMachine();
  #self = '';
  #driver: RaftDriver | undefined;
  #lastId = 0;

  constructor(parts: LinKvParts) {
    this.#parts = parts;
    this.#rpc = new MaelstromRpc(parts.clock, (dest, body) => this.#send(dest, body));
  }

  /** Undefined before `init`, and while there is none. */
  get leader(): NodeId | undefined {
    return this.#driver?.leader;
  }

  /** Never throws: what cannot be understood is answered so, or dropped. */
  onLine(line: string): void {
    const message = parseEnvelope(line);
    if (message === undefined) {
      this.#parts.log.warn('maelstrom.no-message', { line: line.slice(0, 200) });
      return;
    }
    const { src, body } = message;
    if (body.type === IDUNNO) this.#rpc.receive(src, body);
    else if (body.type === 'init') this.#init(message);
    else this.#operate(message);
  }

  async stop(): Promise<void> {
    await this.#driver?.stop();
    await this.#rpc.close();
  }

  #send(dest: string, body: Body): void {
    this.#parts.send(JSON.stringify({ src: this.#self, dest, body }));
  }

  #reply({ src, body }: Envelope, answer: Body): void {
    this.#lastId += 1;
    const { msg_id: replied } = body;
    const to = replied === undefined ? {} : { in_reply_to: replied };
    this.#send(src, { ...answer, ...to, msg_id: this.#lastId });
  }

  #init(message: Envelope): void {
    const { node_id: self, node_ids: ids } = message.body;
    if (typeof self !== 'string' || !Array.isArray(ids) || this.#driver !== undefined) {
      this.#reply(message, errorBody(ERRORS.malformedRequest, 'one init, with node_id, node_ids'));
      return;
    }
    this.#self = self;
    const { clock, rng, log, onFatal } = this.#parts;
    this.#driver = new RaftDriver(
      {
        self: nodeId(self),
        coordinators: ids.map((id) => nodeId(String(id))),
        timing: TIMING,
        limits: LIMITS,
        bootFile: '/boot.json',
      },
      {
        rpc: this.#rpc,
        clock,
        rng,
        log,
        disk: new MemoryDisk(),
        logStore: new MemoryLogStore(),
        machine: this.#machine,
        onFatal,
      },
    );
    this.#rpc.handle(EXECUTE, async ([text]) => {
      const body = await this.#execute(JSON.parse(String(text)) as Operation);
      return { value: JSON.stringify(body) };
    });
    this.#driver.start().then(
      () => this.#reply(message, { type: 'init_ok' }),
      (error: unknown) => onFatal(asIdunnoError(error)),
    );
  }

  #operate(message: Envelope): void {
    const operation = parseOperation(message.body);
    if (operation === undefined) {
      const { type } = message.body;
      const isKnown = type === 'read' || type === 'write' || type === 'cas';
      const code = isKnown ? ERRORS.malformedRequest : ERRORS.notSupported;
      // Answers to messages that this node never sent need none.
      if (message.body.in_reply_to !== undefined) return;
      this.#reply(message, errorBody(code, `cannot do ${type}`));
      return;
    }
    const work = operation.type === 'read' ? this.#read(operation) : this.#change(operation);
    work.then(
      (body) => this.#reply(message, body),
      (thrown: unknown) => {
        const error = asIdunnoError(thrown);
        const isNothingDone = operation.type === 'read' || error.effect === 'unchanged';
        const code = isNothingDone ? ERRORS.temporarilyUnavailable : ERRORS.timeout;
        this.#reply(message, errorBody(code, `${error.code}: ${error.message}`));
      },
    );
  }

  async #read({ key }: Extract<Operation, { type: 'read' }>): Promise<Body> {
    const driver = this.#running();
    const index = await driver.readIndex({ timeoutMs: OPERATION_TIMEOUT_MS });
    await driver.waitApplied(index, { timeoutMs: OPERATION_TIMEOUT_MS });
    return this.#machine.read(key);
  }

  async #change(operation: Operation): Promise<Body> {
    const { leader } = this.#running();
    if (leader === undefined) throw new IdunnoError('NO_LEADER', 'no leader is known here');
    if (leader === this.#self) return this.#execute(operation);
    const options = { timeoutMs: OPERATION_TIMEOUT_MS };
    const { value } = await this.#rpc.call(leader, EXECUTE, [JSON.stringify(operation)], options);
    return JSON.parse(String(value)) as Body;
  }

  /** Here, if this node leads; refused otherwise. */
  async #execute(operation: Operation): Promise<Body> {
    const data = new TextEncoder().encode(JSON.stringify(operation));
    const { result } = await this.#running().propose(data, { timeoutMs: OPERATION_TIMEOUT_MS });
    return result as Body;
  }

  #running(): RaftDriver {
    if (this.#driver === undefined) throw new IdunnoError('NO_LEADER', 'not initialised');
    return this.#driver;
  }
}
