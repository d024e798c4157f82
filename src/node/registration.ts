/**
 * Every node makes itself known to the cluster once per boot: a `nodes.register` command with its
 * epoch, address and slots, retried until it is committed. Until then the node takes no part in
 * placement and leases, and is not ready.
 */
import {
  asIdunnoError,
  type BootEpoch,
  type Clock,
  type Logger,
  type Ms,
  type NodeConfig,
} from '../base/index.js';
import type { StoreClient } from '../store/index.js';

export interface RegistrationDependencies {
  readonly node: NodeConfig;
  readonly bootEpoch: BootEpoch;
  readonly bootWallMs: Ms;
  readonly store: Pick<StoreClient, 'submit'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called once, after the commit: what must not begin before the cluster knows this node. */
  readonly onRegistered: () => Promise<void>;
}

const SUBMIT_TIMEOUT_MS = 5_000;
const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 1_000;

export class Registration {
  private readonly parts: RegistrationDependencies;
  private readonly stopped = new AbortController();
  private isDone = false;

  constructor(parts: RegistrationDependencies) {
    this.parts = parts;
  }

  /** True from the commit on. */
  get isRegistered(): boolean {
    return this.isDone;
  }

  start(): void {
    this.run().catch((error: unknown) => {
      this.parts.log.error('node.register.failed', { error: asIdunnoError(error).message });
    });
  }

  stop(): void {
    this.stopped.abort();
  }

  private async run(): Promise<void> {
    const { node, bootEpoch, bootWallMs, clock, log } = this.parts;
    const { signal } = this.stopped;
    const { name, host, port, slots } = node;
    const facts = { name, epoch: bootEpoch, host, port, slots, bootWallMs };
    for (
      let pauseMs = PAUSE_MS_MIN;
      !signal.aborted;
      pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)
    ) {
      try {
        await this.parts.store.submit('nodes.register', [facts], {
          timeoutMs: SUBMIT_TIMEOUT_MS,
          signal,
        });
        this.isDone = true;
        log.info('node.registered', { epoch: bootEpoch });
        break;
      } catch (error) {
        if (signal.aborted) return;
        const { code, message } = asIdunnoError(error);
        log.debug('node.register.retry', { code, message });
        await clock.sleep(pauseMs, signal).catch(() => undefined);
      }
    }
    if (!signal.aborted) await this.parts.onRegistered();
  }
}
