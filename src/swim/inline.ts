/**
 * Membership without a thread, over the clock, network and disk of a Runtime: for tests and for the
 * simulation of whole nodes. Same core, same runner, same list; there is no main thread to watch.
 */
import type { Runtime } from '../base/index.js';
import type { MembershipOptions } from './driver.js';
import { SwimRunner } from './runner.js';
import { runnerOptions } from './runner-options.js';
import type { Membership } from './types.js';
import { MembershipView } from './view.js';

export type InlineMembershipOptions = Omit<MembershipOptions, 'clock' | 'onFatal'> & {
  readonly runtime: Pick<Runtime, 'clock' | 'rng' | 'network' | 'disk'>;
};

/** Like `createMembership`, on the caller's own event loop. Throws PORT_TAKEN, NODE_NOT_FOUND. */
export async function createInlineMembership(
  options: InlineMembershipOptions,
): Promise<Membership> {
  const { self, bootEpoch, runtime, logger } = options;
  const { clock, network, disk } = runtime;
  const view = new MembershipView(self, clock, logger);
  const runner = await SwimRunner.start(runnerOptions(options), {
    clock,
    network,
    disk,
    logger,
    rng: runtime.rng.fork(`swim/${self}/${bootEpoch}`),
    onMember: (member, before, notable) => view.onMember(member, before, notable, clock.wall()),
    onHealth: (score) => {
      view.healthScore = score;
    },
  });
  return {
    get self() {
      return view.self;
    },
    members: () => view.members(),
    get: (member) => view.get(member),
    onChange: (listener) => view.onChange(listener),
    healthScore: () => view.healthScore,
    why: async (member) => runner.why(member),
    join: () => runner.join(),
    leave: () => runner.leave(),
    stop: () => runner.stop(),
  };
}
