/** What the network code counts, for metrics: `idunno_net_…`. Names are stable. */

export interface RpcCounters {
  /** Connections that ended, by reason: `closed`, `reset`, `checksum`, `slow-reader`, … */
  readonly closed: Readonly<Record<string, number>>;
  /** Greetings refused, by us or by the peer, by error code. */
  readonly refused: Readonly<Record<string, number>>;
  readonly connected: number;
  readonly callsSent: number;
  readonly callsHandled: number;
  readonly callsBusy: number;
  readonly noticesSent: number;
  readonly noticesDropped: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

export class Counters implements RpcCounters {
  readonly closed: Record<string, number> = {};
  readonly refused: Record<string, number> = {};
  connected = 0;
  callsSent = 0;
  callsHandled = 0;
  callsBusy = 0;
  noticesSent = 0;
  noticesDropped = 0;
  bytesReceived = 0;
  bytesSent = 0;

  countClosed(reason: string): void {
    this.closed[reason] = (this.closed[reason] ?? 0) + 1;
  }

  countRefused(code: string): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1;
  }
}
