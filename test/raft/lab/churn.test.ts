/**
 * Churn: the laboratory list's test with clients at work while nodes crash, come back, and are cut
 * off at random (see lab-world.ts). What a client was told is committed must be there at the end,
 * once, at the place that it was told.
 */
import t from 'tap';
import { isIdunnoError, type LogIndex } from '../../../src/base/index.js';
import { LabWorld } from './lab-world.js';

const CLIENTS = 3;
const ROUNDS = 60;

/** One client: proposes to nodes in turn, whoever they are; keeps what was acknowledged. */
class Client {
  readonly #world: LabWorld;
  readonly #name: string;
  readonly acknowledged: { readonly text: string; readonly index: LogIndex }[] = [];
  /** Neither acknowledged nor refused: these may be in the log. */
  readonly unknown: string[] = [];
  readonly refused: string[] = [];
  #count = 0;
  #waiting: string | undefined;

  constructor(world: LabWorld, name: string) {
    this.#world = world;
    this.#name = name;
  }

  /** Starts a command, unless one is still on its way. */
  act(): void {
    const node = this.#world.leaderNow() ?? this.#world.pick(this.#world.nodes);
    if (this.#waiting !== undefined || !node.isRunning) return;
    this.#count += 1;
    const text = `${this.#name}-${this.#count}`;
    this.#waiting = text;
    this.#world
      .propose(node, text, 1_000)
      .then(
        ({ index }) => this.acknowledged.push({ text, index }),
        (error: unknown) => {
          const isUnknown = isIdunnoError(error) && error.code === 'UNKNOWN_OUTCOME';
          (isUnknown ? this.unknown : this.refused).push(text);
        },
      )
      .finally(() => {
        this.#waiting = undefined;
      });
  }
}

for (const isUnreliable of [false, true]) {
  const network = isUnreliable ? 'an unreliable' : 'a reliable';
  t.test(`churn on ${network} network: what was acknowledged stays`, async (t) => {
    const world = new LabWorld(`churn ${network}`, 5, { isUnreliable });
    await world.bootAll();
    const clients = Array.from({ length: CLIENTS }, (_, at) => new Client(world, `c${at}`));
    for (let round = 0; round < ROUNDS; round += 1) {
      const node = world.pick(world.nodes);
      if (world.rng.float() < 0.2) world.disconnect(node);
      const started = world.pick(world.nodes);
      if (world.rng.float() < 0.5) {
        if (!started.isRunning) await world.boot(started);
        world.connect(started);
      }
      const victim = world.pick(world.nodes);
      if (world.rng.float() < 0.2 && victim.isRunning) await world.crash(victim);
      for (let step = 0; step < 7; step += 1) {
        for (const client of clients) client.act();
        await world.pass(world.rng.int(50));
      }
    }
    for (const node of world.nodes) if (!node.isRunning) await world.boot(node);
    world.connect(...world.nodes);
    await world.pass(1_500);
    await world.agree('end', 5);

    const { commands, texts } = world.at(1).machine;
    const acknowledged = clients.flatMap((client) => client.acknowledged);
    for (const { text, index } of acknowledged) {
      const places = commands.filter((command) => command.text === text).map((c) => c.index);
      t.same(places, [index], text);
    }
    for (const text of clients.flatMap((client) => client.refused)) {
      t.notOk(texts.includes(text), `${text} was refused`);
    }
    for (const { machine } of world.nodes) t.same(machine.texts, texts);
    t.ok(acknowledged.length > 50, `${acknowledged.length} acknowledged`);
    await world.stopAll();
  });
}
