/**
 * What a worker has to tell its leader, until the leader has taken it in. Pure.
 *
 *   put ──▶ waiting ──take──▶ told by an open call ──settle──▶ gone
 *              ▲                      │ release: the call was lost or overtaken
 *              └──────────────────────┘
 *
 * A finished task is gone only when it was acknowledged by name; everything else when the call that
 * told it was taken in. What is put under a key that is there already takes its place: the newest
 * state of a model is all that counts.
 */
import type { DoneReport, FailReport, LeaseName, ModelReport, Report } from './protocol.js';

export type News =
  | { readonly kind: 'done'; readonly done: DoneReport }
  | { readonly kind: 'failed'; readonly failed: FailReport }
  | { readonly kind: 'returned'; readonly returned: LeaseName }
  | { readonly kind: 'model'; readonly model: ModelReport };

interface Entry {
  readonly news: News;
  /** Number of the call that tells it; 0 waits for one; HELD_BACK is not to be told yet. */
  call: number;
}

const WAITING = 0;
const HELD_BACK = -1;

export class Outbox {
  readonly #entries = new Map<string, Entry>();

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** Something waits for a call to tell it. */
  get hasWaiting(): boolean {
    return this.#some((call) => call === WAITING);
  }

  /** Some open call tells something. */
  isTold(isOpen: (call: number) => boolean): boolean {
    return this.#some((call) => call > 0 && isOpen(call));
  }

  put(key: string, news: News): void {
    this.#entries.set(key, { news, call: WAITING });
  }

  /** The finished task of this key, if its result is still to be acknowledged. */
  isFinished(key: string): boolean {
    return this.#entries.get(key)?.news.kind === 'done';
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** Not to be told before `releaseHeldBack`. */
  holdBack(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.call = HELD_BACK;
  }

  releaseHeldBack(): void {
    this.release(HELD_BACK);
  }

  /** Lets this call tell what waits, at most so much; with the keys of what it tells. */
  take(
    call: number,
    max: number,
  ): Pick<Report, 'done' | 'failed' | 'returned' | 'models'> & { readonly keys: Set<string> } {
    const done: DoneReport[] = [];
    const failed: FailReport[] = [];
    const returned: LeaseName[] = [];
    const models: ModelReport[] = [];
    const keys = new Set<string>();
    for (const [key, entry] of this.#entries) {
      if (entry.call !== WAITING) continue;
      if (keys.size === max) break;
      entry.call = call;
      keys.add(key);
      const { news } = entry;
      if (news.kind === 'done') done.push(news.done);
      else if (news.kind === 'failed') failed.push(news.failed);
      else if (news.kind === 'returned') returned.push(news.returned);
      else models.push(news.model);
    }
    return { done, failed, returned, models, keys };
  }

  /** The call was not taken in: what it told waits again. True when there was something. */
  release(call: number): boolean {
    let found = false;
    for (const entry of this.#entries.values()) {
      if (entry.call !== call) continue;
      entry.call = WAITING;
      found = true;
    }
    return found;
  }

  /** The call was taken in. Returns the keys that are gone. */
  settle(call: number): string[] {
    const gone: string[] = [];
    for (const [key, entry] of [...this.#entries]) {
      if (entry.call !== call) continue;
      if (entry.news.kind === 'done') {
        entry.call = WAITING;
        continue;
      }
      this.#entries.delete(key);
      gone.push(key);
    }
    return gone;
  }

  #some(test: (call: number) => boolean): boolean {
    for (const { call } of this.#entries.values()) if (test(call)) return true;
    return false;
  }
}
