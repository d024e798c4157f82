/**
 * At most so many at once; the others wait in the order of their arrival. The waiting line is as
 * long as its callers make it: each of them has a bound of its own on what it starts.
 */
export class Gate {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Those inside, and those that wait. */
  get load(): number {
    return this.#running + this.#waiting.length;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#max) await new Promise<void>((go) => this.#waiting.push(go));
    else this.#running++;
    try {
      return await work();
    } finally {
      // The place is handed on, so that a newcomer cannot overtake those who wait.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
