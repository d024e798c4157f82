/**
 * Pings on behalf of others (SWIM §3.1): a node whose direct probe is late asks three helpers. The
 * helper passes the answer on, also a late one, and says when it hears nothing either (the nack of
 * Lifeguard §IV.A), so that the prober can tell a silent target from silence all around it.
 */
import type { BootEpoch, NodeId } from '../base/index.js';
import { OPEN_PROBES_MAX } from './config.js';
import type { SwimContext } from './context.js';
import { claimsAgainst } from './members.js';
import type { Origin, Sender } from './messages.js';

interface Relay {
  readonly requester: Origin;
  /** The requester's number of the probe. */
  readonly seq: number;
  readonly target: NodeId;
  isNacked: boolean;
}

export interface PingRequest {
  readonly seq: number;
  readonly target: NodeId;
  readonly targetEpoch: BootEpoch;
  readonly host: string;
  readonly port: number;
}

export class Relayer {
  readonly #context: SwimContext;
  /** By the number of this node's own ping. */
  readonly #relays = new Map<number, Relay>();

  constructor(context: SwimContext) {
    this.#context = context;
  }

  onPingRequest(from: Origin, request: PingRequest): void {
    const { self, table, now, timing, agenda } = this.#context;
    const { target, targetEpoch } = request;
    if (target === self.name) {
      if (targetEpoch !== self.epoch) return;
      const message = {
        type: 'indirect-ack',
        seq: request.seq,
        target: this.#context.sender,
      } as const;
      this.#context.send(from, message);
      return;
    }
    if (this.#relays.size >= OPEN_PROBES_MAX) return;
    const seq = this.#context.nextSeq();
    this.#relays.set(seq, { requester: from, seq: request.seq, target, isNacked: false });
    agenda.push(now + timing.nackAfterMs, { kind: 'relay', seq });
    const claims = claimsAgainst(table.get(target), targetEpoch, now);
    const ping = { type: 'ping', seq, target, targetEpoch, introduce: false } as const;
    this.#context.sendTo(request, ping, claims);
  }

  /** First the nack is due, later the end of the wait for a late answer. */
  onDue(seq: number): void {
    const relay = this.#relays.get(seq);
    if (relay === undefined) return;
    if (relay.isNacked) {
      this.#relays.delete(seq);
      return;
    }
    relay.isNacked = true;
    this.#context.send(relay.requester, { type: 'nack', seq: relay.seq });
    const { now, timing, agenda } = this.#context;
    agenda.push(now + timing.lateAnswerMs, { kind: 'relay', seq });
  }

  /** Passes the answer on. False when the ack belongs to no relayed ping. */
  maybePassOn(sender: Sender, seq: number): boolean {
    const relay = this.#relays.get(seq);
    if (relay === undefined || relay.target !== sender.name) return false;
    this.#relays.delete(seq);
    this.#context.send(relay.requester, { type: 'indirect-ack', seq: relay.seq, target: sender });
    return true;
  }
}
