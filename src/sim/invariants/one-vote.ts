/**
 * "Each server will vote for at most one candidate in a given term" (Raft §5.2), over crashes too:
 * judged by the votes that leave the node, not by what it remembers.
 */
import type { NodeId } from '../../base/index.js';
import type { Message } from '../../raft/index.js';
import type { NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class OneVote implements Invariant {
  readonly name = 'one-vote';
  readonly #votes = new Map<string, NodeId>();

  onSend(view: NodeView, to: NodeId, message: Message): void {
    // A node whose disk was lost is another one under the same name, and was taken out before.
    const id = `${view.node.id}#${view.node.incarnation}`;
    if (message.type === 'vote') this.#record(id, message.term, view.node.id);
    else if (message.type === 'vote-reply' && message.granted) this.#record(id, message.term, to);
  }

  #record(voter: string, term: number, candidate: NodeId): void {
    const key = `${voter} ${term}`;
    const known = this.#votes.get(key) ?? candidate;
    this.#votes.set(key, known);
    if (known !== candidate) {
      throw new Violation(
        this.name,
        `${voter} votes for ${known} and ${candidate} in term ${term}`,
      );
    }
  }
}
