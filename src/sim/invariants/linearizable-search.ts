/**
 * Linearizability once more, this time without trusting the log's positions: at the end of a run a
 * search looks for any order of the clients' operations that real time and the registers allow
 * (Herlihy and Wing 1990; Wing and Gong 1993; Lowe 2017). Knows only what clients saw.
 */
import type { Operation } from '../history.js';
import { REGISTER } from '../linear/model.js';
import { byRegister } from '../linear/registers.js';
import { judge } from '../linear/wgl.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class LinearizableSearch implements Invariant {
  readonly name = 'linearizable-search';
  readonly #operations = new Set<Operation>();

  onOperation(operation: Operation): void {
    this.#operations.add(operation);
  }

  atEnd(): void {
    for (const [register, history] of byRegister([...this.#operations])) {
      const { verdict, stuckAt } = judge(history, REGISTER);
      if (verdict === 'linearizable') continue;
      const at = stuckAt === undefined ? '' : `, stuck at ${REGISTER.describe(stuckAt.action)}`;
      throw new Violation(
        this.name,
        verdict === 'undecided'
          ? `no verdict on register ${register} within the bound of the search${at}`
          : `no order explains the ${history.length} operations on register ${register}${at}`,
      );
    }
  }
}
