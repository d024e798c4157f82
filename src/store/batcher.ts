/**
 * Puts commands that come together into one log entry (base/coalescer.ts): up to two entries are on
 * their way to a quorum at once, as in replication; what comes meanwhile shares the next.
 */
import { Coalescer, type Ms } from '../base/index.js';
import type { Proposed } from '../raft/index.js';
import {
  type CommandRequest,
  ENTRY_COMMANDS_MAX,
  encodeCommand,
  joinCommands,
  type Outcome,
  REGISTER_SESSION,
} from './command.js';

/** What the batcher needs of the Raft driver. */
export interface Proposer {
  propose(data: Uint8Array, options: { timeoutMs: Ms }): Promise<Proposed>;
}

interface EncodedCommand {
  readonly bytes: Uint8Array;
  /** A registration's session is its entry's index: it shares the entry with nobody. */
  readonly isAlone: boolean;
}

const ENTRIES_IN_FLIGHT = 2;
const ENTRY_BYTES_MAX = 256 * 1024;
const WAITING_MAX = 10_000;
/** An entry that no quorum takes for so long is given up as unknown. */
const COMMIT_TIMEOUT_MS: Ms = 10_000;

export class Batcher {
  readonly #commands: Coalescer<EncodedCommand, Outcome>;

  constructor(proposer: Proposer) {
    this.#commands = new Coalescer({
      what: 'commands',
      inFlightMax: ENTRIES_IN_FLIGHT,
      waitingMax: WAITING_MAX,
      batchItemsMax: ENTRY_COMMANDS_MAX,
      batchBytesMax: ENTRY_BYTES_MAX,
      bytesOf: ({ bytes }) => bytes.length,
      isAlone: ({ isAlone }) => isAlone,
      send: async (commands) => {
        const data = joinCommands(commands.map(({ bytes }) => bytes));
        const { result } = await proposer.propose(data, { timeoutMs: COMMIT_TIMEOUT_MS });
        return result as readonly Outcome[];
      },
    });
  }

  /**
   * The command's outcome, or a throw that says what is known: NOT_LEADER, BUSY, UNKNOWN_OUTCOME.
   * Throws BAD_ARGUMENT at once for a command that is too large.
   */
  submit(request: CommandRequest): Promise<Outcome> {
    const isAlone = request.name === REGISTER_SESSION && request.session === 0;
    return this.#commands.submit({ bytes: encodeCommand(request), isAlone });
  }
}
