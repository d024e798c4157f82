/**
 * What a client has said and a later command needs: the test data it put last, and batch sizes for
 * jobs that do not exist yet. Kept in the cluster's settings under the client's name, so it holds
 * at every node's prompt and from one command to the next.
 */
import type { ClassicState } from './types.js';

function key(state: ClassicState, what: string): string {
  return `classic/${state.asker.name}/${what}`;
}

/** The prefix that `populate-test-data` put last. */
export async function lastTestData(state: ClassicState): Promise<string | undefined> {
  return state.client.settingsGet(key(state, 'test-data'), { signal: state.signal });
}

export async function rememberTestData(state: ClassicState, prefix: string): Promise<void> {
  await state.client.settingsPut(key(state, 'test-data'), prefix, { signal: state.signal });
}

/** The batch size of the next job of a model. */
export async function nextBatchSize(
  state: ClassicState,
  model: string,
): Promise<number | undefined> {
  const text = await state.client.settingsGet(key(state, `batch-size/${model}`), {
    signal: state.signal,
  });
  return text === undefined ? undefined : Number(text);
}

export async function rememberBatchSize(
  state: ClassicState,
  model: string,
  size: number,
): Promise<void> {
  const name = key(state, `batch-size/${model}`);
  await state.client.settingsPut(name, String(size), { signal: state.signal });
}
