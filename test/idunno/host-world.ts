/** Real model hosts for tests: a pool that remembers its state changes. */
import type { Test } from 'tap';
import { createRealClock, createSilentLogger } from '../../src/base/index.js';
import type { EngineItem } from '../../src/idunno/engine.js';
import { ModelHostPool, type ModelHostPoolOptions } from '../../src/idunno/model-host-pool.js';
import { greyImage } from './model-folders.js';

/** `until` waits for the next change of a kind and answers its error. Ends with the test. */
export function createWatchedPool(t: Test, options: Partial<ModelHostPoolOptions> = {}) {
  const deps = { clock: createRealClock(), log: createSilentLogger() };
  const pool = new ModelHostPool({ slots: 1, threads: 1, ...options }, deps);
  t.teardown(() => pool.stop());
  let seen: [string, string][] = [];
  let wake: () => void = () => undefined;
  pool.onState((_, state, error) => {
    seen.push([state, error ?? '']);
    wake();
  });
  const until = async (state: string): Promise<string> => {
    for (;;) {
      const at = seen.findIndex(([each]) => each === state);
      if (at >= 0) {
        const error = seen[at]?.[1] ?? '';
        seen = seen.slice(at + 1);
        return error;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { pool, until };
}

/** A query on a picture of one grey level. */
export function itemOf(query: number, level: number): EngineItem {
  const facts = { query, item: query, repetition: 0, input: `i/${query}`, version: 1 };
  return { ...facts, bytes: greyImage(level), error: undefined };
}
