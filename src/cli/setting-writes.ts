/**
 * A client's many small writes on their way: what is written while a request is under way
 * shares the next one, and becomes one command of the log. A lone write travels alone and at once.
 *
 * Callers do not notice: each learns about its own write. A request that is refused because of one
 * of its writes is taken apart, and each is asked for alone.
 */
import { Coalescer, IdunnoError, isIdunnoError } from '../base/index.js';

/** [key, value] */
export type Setting = readonly [string, string];

/** The nodes take no more in one request: SETTINGS_PER_COMMAND_MAX in src/store. */
const REQUEST_WRITES_MAX = 128;
/** UTF-16 units; well below what one command may carry. */
const REQUEST_CHARS_MAX = 128 * 1024;
const REQUESTS_IN_FLIGHT = 1;
const WAITING_MAX = 100_000;

export class SettingWrites {
  readonly #coalescer: Coalescer<Setting, number | IdunnoError>;

  /** `send`: one request with these writes; resolves with its log index. */
  constructor(send: (settings: readonly Setting[]) => Promise<number>) {
    const sendAlone = (setting: Setting): Promise<number | IdunnoError> =>
      send([setting]).catch((error: unknown) => {
        if (isIdunnoError(error)) return error;
        throw error;
      });
    this.#coalescer = new Coalescer({
      what: 'writes of this client',
      inFlightMax: REQUESTS_IN_FLIGHT,
      waitingMax: WAITING_MAX,
      batchItemsMax: REQUEST_WRITES_MAX,
      batchBytesMax: REQUEST_CHARS_MAX,
      bytesOf: ([key, value]) => key.length + value.length,
      send: async (settings) => {
        try {
          const index = await send(settings);
          return settings.map(() => index);
        } catch (error) {
          if (settings.length === 1 || !isRefusal(error)) throw error;
          return Promise.all(settings.map(sendAlone));
        }
      },
    });
  }

  /** The log index of the write. */
  async put(setting: Setting): Promise<number> {
    const result = await this.#coalescer.submit(setting);
    if (result instanceof IdunnoError) throw result;
    return result;
  }
}

/** Nothing happened, and nothing would if all of it were sent again. */
function isRefusal(error: unknown): boolean {
  return isIdunnoError(error) && error.effect === 'unchanged' && !error.isRetryable;
}
