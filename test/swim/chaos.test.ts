import t from 'tap';
import { CHAOS_FAULTS, runChaos } from '../../src/sim/swim/index.js';

// A long computation: a loaded machine must not fail it.
t.setTimeout(300_000);

t.test('after any mixture of faults all lists are equal again within ten seconds', async (t) => {
  for (let seed = 1; seed <= 8; seed++) {
    const { convergedMs, virtualMs, struck } = runChaos({ size: 10, seed, steps: 80 });
    t.ok(convergedMs < 10_000, `seed ${seed}: ${convergedMs} ms`);
    t.ok(virtualMs > 60_000, `${virtualMs} virtual ms`);
    for (const fault of [...CHAOS_FAULTS, 'lost', 'duplicated'] as const) {
      if (struck[fault] === 0) t.fail(`seed ${seed}: no ${fault} struck`);
    }
  }
});
