/**
 * The story of a run: one line per effect. Its hash is what two runs of one seed must share; the
 * lines themselves are for people, when a seed is replayed.
 */
import type { Ms, NodeId } from '../base/index.js';
import { describeEffect, type Effect } from '../raft/index.js';

export class Trace {
  #high = 0x9e3779b9;
  #low = 0x85ebca6b;
  readonly #print: ((line: string) => void) | undefined;

  /** With `print`, every line is shown too. */
  constructor(print?: (line: string) => void) {
    this.#print = print;
  }

  effect(now: Ms, node: NodeId, effect: Effect): void {
    this.note(now, node, describeEffect(effect));
  }

  note(now: Ms, node: NodeId | 'nemesis', text: string): void {
    const line = `${now.toFixed(3)} ${node} ${text}`;
    this.#mix(line);
    this.#print?.(line);
  }

  /** 64 bits as hexadecimal digits. */
  get hash(): string {
    return hex(this.#high) + hex(this.#low);
  }

  #mix(line: string): void {
    let high = this.#high;
    let low = this.#low;
    for (let at = 0; at < line.length; at += 1) {
      const code = line.charCodeAt(at);
      high = Math.imul(high ^ code, 0x01000193);
      low = Math.imul(low + code, 0x85ebca77) ^ (low >>> 15);
    }
    this.#high = high;
    this.#low = low;
  }
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
