/**
 * Why this node believes what it believes of a member: the last lines per member, oldest first,
 * kept beyond its deletion. Shown by `idunno member why NAME`.
 */
import type { Ms, NodeId } from '../base/index.js';
import { EVIDENCE_MAX, MEMBERS_MAX } from './config.js';

export interface EvidenceLine {
  /** This node's clock. */
  readonly atMs: Ms;
  readonly text: string;
}

export class EvidenceTrail {
  /** In order of the last change, so that the stalest trail is the first to go. */
  readonly #lines = new Map<NodeId, EvidenceLine[]>();

  add(name: NodeId, atMs: Ms, text: string): void {
    const lines = this.#lines.get(name) ?? [];
    lines.push({ atMs, text });
    if (lines.length > EVIDENCE_MAX) lines.shift();
    this.#lines.delete(name);
    this.#lines.set(name, lines);
    if (this.#lines.size <= MEMBERS_MAX) return;
    const stalest = this.#lines.keys().next();
    if (!stalest.done) this.#lines.delete(stalest.value);
  }

  of(name: NodeId): readonly EvidenceLine[] {
    return [...(this.#lines.get(name) ?? [])];
  }
}
