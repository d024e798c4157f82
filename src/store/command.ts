/**
 * Commands on their way through the log, and what comes of them.
 *
 * An entry's data is msgpack `[version, command, command, …]`, a command is
 * `[session, seq, ackedBelow, name, args]`. One entry carries what was submitted while the one
 * before was written (natural batching). Session 0 is "outside sessions": no retry is recognised.
 * Every request below `ackedBelow` has been answered to the client, so its outcome may be dropped.
 *
 * An outcome is msgpack `[1, value]` or `[0, code, message, data]`: it is remembered in a row, and
 * answered again, byte for byte, to a retry.
 */
import { assert, IdunnoError, type LogIndex } from '../base/index.js';
import { decode, encode, type Wire } from '../net/index.js';

export interface CommandRequest {
  /** 0: outside sessions. */
  readonly session: LogIndex;
  readonly seq: number;
  readonly ackedBelow: number;
  readonly name: string;
  readonly args: readonly Wire[];
}

export type Outcome =
  | { readonly ok: true; readonly value: Wire }
  | { readonly ok: false; readonly error: IdunnoError };

const COMMAND_VERSION = 1;
/** Commands in one entry: it is applied in one go, so this bounds how long that takes. */
export const ENTRY_COMMANDS_MAX = 128;
/** Bytes of one command: rows and arguments are metadata; larger things belong into SDFS. */
export const COMMAND_BYTES_MAX = 1024 * 1024;
const NAME_CHARS_MAX = 64;

/** Registers a session; the machine's own command. Alone in its entry, whose index is the id. */
export const REGISTER_SESSION = 'store.register';

/** One command's bytes, to be put into an entry with others by `joinCommands`. */
export function encodeCommand(request: CommandRequest): Uint8Array {
  const { session, seq, ackedBelow, name, args } = request;
  const bytes = encode([session, seq, ackedBelow, name, args]);
  if (bytes.length > COMMAND_BYTES_MAX) {
    throw new IdunnoError(
      'BAD_ARGUMENT',
      `command ${name} has ${bytes.length} bytes of arguments; at most ${COMMAND_BYTES_MAX}`,
    );
  }
  return bytes;
}

/** The data of an entry: a msgpack array of the version and the commands. */
export function joinCommands(commands: readonly Uint8Array[]): Uint8Array {
  assert(commands.length > 0 && commands.length <= ENTRY_COMMANDS_MAX, 'commands in one entry');
  // Array header (array 16), the version as a fixint, then the elements as they are.
  const head = Buffer.from([0xdc, 0, 0, COMMAND_VERSION]);
  head.writeUInt16BE(commands.length + 1, 1);
  return Buffer.concat([head, ...commands]);
}

/** Throws PROTOCOL where the data is not what joinCommands made. */
export function decodeCommands(data: Uint8Array): CommandRequest[] {
  const wire = decode(data);
  if (!Array.isArray(wire) || wire[0] !== COMMAND_VERSION || wire.length < 2) {
    throw new IdunnoError('PROTOCOL', 'a log entry does not hold commands of a known version');
  }
  return wire.slice(1).map(parseCommand);
}

/** A request from the wire. Throws PROTOCOL. */
export function parseCommand(wire: unknown): CommandRequest {
  if (!Array.isArray(wire) || wire.length !== 5) {
    throw new IdunnoError('PROTOCOL', 'a command is not an array of five');
  }
  const [session, seq, ackedBelow, name, args] = wire as unknown[];
  if (!isCount(session) || !isCount(seq) || !isCount(ackedBelow)) {
    throw new IdunnoError('PROTOCOL', 'a command whose session numbers are not integers >= 0');
  }
  if (typeof name !== 'string' || name.length > NAME_CHARS_MAX || !Array.isArray(args)) {
    throw new IdunnoError('PROTOCOL', 'a command without a name or arguments');
  }
  return { session, seq, ackedBelow, name, args: args as Wire[] };
}

export function encodeOutcome(outcome: Outcome): Uint8Array {
  return encode(outcomeToWire(outcome));
}

export function decodeOutcome(bytes: Uint8Array): Outcome {
  return outcomeFromWire(decode(bytes));
}

export function outcomeToWire(outcome: Outcome): Wire {
  return outcome.ok ? [1, outcome.value] : [0, ...outcome.error.toWire()];
}

export function outcomeFromWire(wire: unknown): Outcome {
  if (Array.isArray(wire) && wire[0] === 1 && wire.length === 2) {
    return { ok: true, value: wire[1] as Wire };
  }
  const error = Array.isArray(wire) && wire[0] === 0 ? wire.slice(1) : undefined;
  return { ok: false, error: IdunnoError.fromWire(error) };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
