/**
 * Is a node that takes a long upload still there? A frozen process keeps its connections, refuses
 * nothing and answers nothing, and an upload has no time after which it must be over. So the node
 * is asked something small beside it, again and again; when that stays unanswered, it is silent.
 *
 * Being wrong about a node that is only very busy costs a second upload, never a second effect.
 */
import { asIdunnoError, type Clock, type Ms } from '../base/index.js';

export interface LifeWatchDeps {
  readonly clock: Pick<Clock, 'setTimer'>;
  /** Asks the node what it can answer from memory; rejects when it has not in that time. */
  readonly ask: (timeoutMs: Ms, signal: AbortSignal) => Promise<unknown>;
  readonly onSilent: () => void;
}

/** Uploads that are shorter are never looked at. */
const LOOK_MS: Ms = 500;
/** Longer than a garbage collection, a full disk cache, or a machine that is out of breath. */
export const ANSWER_MS: Ms = 2_000;

/** Returns how to end it; it ends by itself after `onSilent`. */
export function watchLife({ clock, ask, onSilent }: LifeWatchDeps): () => void {
  const abort = new AbortController();
  const look = async (): Promise<void> => {
    try {
      await ask(ANSWER_MS, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) return;
      const { code, data } = asIdunnoError(error);
      if (code === 'TIMEOUT' || data['reason'] === 'timeout') return onSilent();
      // Whatever else went wrong, the upload itself will say so.
    }
    arm();
  };
  let timer = clock.setTimer(LOOK_MS, () => void look());
  const arm = (): void => {
    if (!abort.signal.aborted) timer = clock.setTimer(LOOK_MS, () => void look());
  };
  return () => {
    abort.abort();
    timer.cancel();
  };
}
