/**
 * The leader's side of models, jobs and tasks, on every coordinator: answers workers' reports while
 * this node leads (leading-term.ts), and refuses them while it does not.
 *
 * It decides nothing that must survive it. What counts is in the rows; in memory are only the open
 * calls of workers, the deadlines of leases and who is suspected. A new leader starts with none of
 * them, tells the workers that it leads, and hears from each at once.
 */
import { IdunnoError } from '../base/index.js';
import type { LeaderDuty, LeaderMethod } from '../store/index.js';
import type { Membership } from '../swim/index.js';
import { LeadingTerm, type LeadingTermDeps } from './leading-term.js';
import { readReport, WORK_METHOD } from './protocol.js';

export interface CoordinatorDeps extends LeadingTermDeps {
  /** Suspicions; without it tasks of a dying worker wait for Raft's verdict. */
  readonly membership: Pick<Membership, 'onChange'> | undefined;
}

/** One per coordinator process, leading or not. */
export class Coordinator {
  readonly #deps: CoordinatorDeps;
  #term: LeadingTerm | undefined;

  constructor(deps: CoordinatorDeps) {
    this.#deps = deps;
    deps.local.onChanges((changes) => this.#term?.onChanges(changes));
    deps.membership?.onChange(({ member }) => {
      this.#term?.onSuspicion(member.name, member.state === 'suspicious');
    });
  }

  /** To be registered under WORK_METHOD. */
  readonly work: LeaderMethod = (args, { peer, signal }) => {
    if (peer?.kind === 'client') {
      throw new IdunnoError('BAD_ARGUMENT', `${WORK_METHOD} is for the nodes of the cluster`);
    }
    if (this.#term === undefined) {
      throw new IdunnoError('NOT_READY', 'this node is taking the leadership over');
    }
    return this.#term.take(readReport(args[0]), signal);
  };

  /** To be registered with the node's leader duties. */
  readonly duty: LeaderDuty = {
    name: 'idunno',
    lead: (number, signal) => {
      const term = new LeadingTerm(this.#deps, signal);
      this.#term = term;
      signal.addEventListener('abort', () => {
        term.end();
        if (this.#term === term) this.#term = undefined;
      });
      term.begin(number);
    },
  };
}
