/** A map that forgets its oldest entry when it is full. Setting a key makes it the newest. */
export class BoundedMap<K, V> {
  readonly #max: number;
  readonly #map = new Map<K, V>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#map.size;
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  /** Returns the value that had to go, if one had to. */
  set(key: K, value: V): V | undefined {
    this.#map.delete(key);
    this.#map.set(key, value);
    if (this.#map.size <= this.#max) return undefined;
    const [oldest] = this.#map;
    if (oldest === undefined) return undefined;
    this.#map.delete(oldest[0]);
    return oldest[1];
  }

  delete(key: K): void {
    this.#map.delete(key);
  }

  clear(): void {
    this.#map.clear();
  }

  entries(): Iterable<readonly [K, V]> {
    return this.#map;
  }
}
