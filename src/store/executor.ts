/**
 * Executes commands against the rows: the pure heart of the state machine. It knows sessions,
 * transactions and derived indexes; durability and the log are state-machine.ts's.
 *
 * A command either returns (its writes are committed) or throws an IdunnoError (they are dropped
 * and the refusal is its outcome). Any other exception is a bug in the command: it is the same bug
 * on every replica, so it becomes the same INTERNAL refusal on each, logged loudly, and the
 * cluster lives on.
 */
import { assert, IdunnoError, type LogIndex, type Logger } from '../base/index.js';
import { type CommandRequest, encodeOutcome, type Outcome, REGISTER_SESSION } from './command.js';
import type { IndexSet } from './indexes.js';
import type { ModuleRegistry } from './registry.js';
import { OUTCOME_BYTES_MAX, type Sessions } from './sessions.js';
import { CommandTx, type RowStore } from './tx.js';
import type { Change, CommandContext } from './types.js';

export interface ExecutorParts {
  readonly registry: ModuleRegistry;
  readonly rows: RowStore;
  readonly indexes: IndexSet;
  readonly sessions: Sessions;
  readonly log: Logger;
}

export class Executor {
  readonly #parts: ExecutorParts;

  constructor(parts: ExecutorParts) {
    this.#parts = parts;
  }

  /** Executes the commands of one entry in order; appends what changed to `changes`. */
  executeEntry(
    requests: readonly CommandRequest[],
    context: CommandContext,
    changes: Change[],
  ): Outcome[] {
    return requests.map((request) => {
      if (request.name === REGISTER_SESSION && request.session === 0) {
        return this.#register(requests.length, context.index);
      }
      return this.#executeOnce(request, context, changes);
    });
  }

  /** Two sessions registered by one entry would share its index as their id. */
  #register(requestsInEntry: number, index: LogIndex): Outcome {
    if (requestsInEntry > 1) {
      const error = new IdunnoError('BAD_ARGUMENT', 'a registration shares its log entry');
      return { ok: false, error };
    }
    return { ok: true, value: this.#parts.sessions.register(index) };
  }

  #executeOnce(request: CommandRequest, context: CommandContext, changes: Change[]): Outcome {
    const { session, seq, ackedBelow } = request;
    if (session === 0) return this.#execute(request, context, changes).outcome;
    const { sessions } = this.#parts;
    try {
      const admission = sessions.admit(session, seq, ackedBelow, context.index);
      if (admission.kind === 'answered') return admission.outcome;
    } catch (error) {
      if (error instanceof IdunnoError) return refusal(error).outcome;
      throw error;
    }
    const { outcome, bytes } = this.#execute(request, context, changes);
    sessions.record(session, seq, bytes);
    return outcome;
  }

  #execute(request: CommandRequest, context: CommandContext, changes: Change[]): Executed {
    const { registry, rows, indexes, log } = this.#parts;
    const { name, args } = request;
    const command = registry.command(name);
    if (command === undefined) {
      return refusal(new IdunnoError('NO_SUCH_METHOD', `there is no command "${name}"`));
    }
    const tx = new CommandTx(rows, indexes);
    let executed: Executed;
    try {
      const outcome: Outcome = { ok: true, value: command(tx, args, context) ?? null };
      const bytes = encodeOutcome(outcome);
      assert(bytes.length <= OUTCOME_BYTES_MAX, `a result of ${bytes.length} bytes`);
      executed = { outcome, bytes };
    } catch (error) {
      if (error instanceof IdunnoError) return refusal(error);
      const text = error instanceof Error ? error.message : String(error);
      log.error('store.command-bug', { command: name, index: context.index, error });
      return refusal(new IdunnoError('INTERNAL', `command ${name} failed: ${text}`));
    }
    for (const change of tx.commit()) {
      indexes.onChange(change);
      changes.push(change);
    }
    return executed;
  }
}

/** An outcome, and how it is remembered. */
interface Executed {
  readonly outcome: Outcome;
  readonly bytes: Uint8Array;
}

function refusal(error: IdunnoError): Executed {
  const outcome: Outcome = { ok: false, error };
  return { outcome, bytes: encodeOutcome(outcome) };
}
