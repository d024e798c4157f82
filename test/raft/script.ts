/**
 * Scenarios as text: a command, a line of dashes, what it leads to. A blank line ends a command;
 * lines that begin with # are for the reader. Run with UPDATE=1 to rewrite the expected parts, then
 * read the difference. (After etcd-io/raft `testdata/`.)
 *
 * Commands (nodes by number):
 *   cluster N [strangers=COUNT] [limit NAME=VALUE ...] [log I=TERM,TERM ...] [term I=TERM ...] [suspect I]
 *             [learners COUNT]    (the last COUNT nodes)
 *   quiet COMMAND     any command, without a word
 *   tick N            the node's own timer rings
 *   elect N           the same, and everything is delivered, without a word
 *   late N MS         it rings so much too late
 *   wait MS           time passes, no timer rings
 *   propose N TEXT
 *   read N ID
 *   transfer N [TO]
 *   renew N PEER      N asks that PEER starts over as a learner
 *   join N TERM       starts again as one that nobody knows: empty, suspect, in that term
 *   reconfigure N VOTER,VOTER [LEARNER,LEARNER]
 *   peer-down N PEER, peer-up N PEER
 *   crash N, restart N, wipe N INDEX    (wipe: the log loses everything after INDEX)
 *   hold-disk N, sync N [COUNT], free-disk N
 *   deliver [A>B] [TYPE]          what waits, once; `deliver all` until nothing waits
 *   drop [A>B] [TYPE]
 *   stash [A>B] [TYPE]            takes messages aside; `unstash [A>B] [TYPE]` delivers them late
 *   inject A>B append TERM PREV COMMIT ENTRY ...    a leader's message out of thin air; 3.2 is
 *                     index 3, term 2
 *   snapshot FROM TO              the snapshot that FROM was asked for arrives at TO
 *   snapshot-arrives FROM TO [INDEX], snapshot-reported FROM TO INDEX ok|failed    the two halves
 *                                 of it; INDEX: an older one than what FROM has applied
 *   status, logs
 */
import { must } from '../../src/base/index.js';
import {
  describeEffect,
  describeMessage,
  NO_CONF,
  type Message,
  type RaftLimits,
} from '../../src/raft/index.js';
import { entryOf, Harness, type HarnessOptions, type Packet } from './harness.js';

interface Command {
  readonly comments: readonly string[];
  readonly line: string;
}

/** Runs all commands of a script; returns the whole script with what really came out. */
export function runScript(text: string): string {
  const runner = new Runner();
  const blocks: string[] = [];
  for (const { comments, line } of parse(text)) {
    if (line === '') {
      blocks.push(comments.join('\n'));
      continue;
    }
    const output = runner.run(line);
    blocks.push([...comments, line, '----', ...(output.length > 0 ? output : ['ok'])].join('\n'));
  }
  return `${blocks.join('\n\n')}\n`;
}

function parse(text: string): Command[] {
  return text
    .split(/\n\s*\n/)
    .map((block) => block.trim().split('\n'))
    .filter((lines) => lines.join('') !== '')
    .map((lines) => {
      const comments = lines.filter((line) => line.startsWith('#'));
      return { comments, line: lines.find((line) => !line.startsWith('#')) ?? '' };
    });
}

class Runner {
  #harness = new Harness(0);
  #stashed: Packet[] = [];
  #output: string[] = [];

  run(line: string): string[] {
    this.#output = [];
    const words = line.split(/\s+/);
    const isQuiet = words[0] === 'quiet';
    const [verb = '', ...args] = isQuiet ? words.slice(1) : words;
    if (verb === 'cluster') this.#cluster(args);
    else this.#command(verb, args);
    return isQuiet ? [] : this.#output;
  }

  #cluster(args: readonly string[]): void {
    const limits: Record<string, number> = {};
    const logs: Record<number, number[]> = {};
    const terms: Record<number, number> = {};
    const suspects: number[] = [];
    let learners = 0;
    let strangers = 0;
    let into = 'limit';
    for (const arg of args.slice(1)) {
      const [name = '', value] = arg.split('=');
      if (into === 'learners') {
        learners = Number(name);
        into = 'limit';
      } else if (value === undefined && into !== 'suspect') into = name;
      else if (into === 'suspect') suspects.push(Number(name));
      else if (into === 'log') logs[Number(name)] = (value ?? '').split(',').map(Number);
      else if (into === 'term') terms[Number(name)] = Number(value);
      else if (name === 'strangers') strangers = Number(value);
      else limits[name] = Number(value);
    }
    const options: HarnessOptions = {
      limits: limits as Partial<RaftLimits>,
      logs,
      terms,
      suspects,
      learners,
      strangers,
    };
    this.#harness = new Harness(Number(args[0]), options);
    this.#stashed = [];
    this.#harness.onEffect = (node, effect) => {
      this.#output.push(`${node.id} ${describeEffect(effect)}`);
    };
  }

  #command(verb: string, args: readonly string[]): void {
    const harness = this.#harness;
    const number = Number(args[0]);
    switch (verb) {
      case 'tick':
        harness.tick(number);
        break;
      case 'elect': {
        const { onEffect } = harness;
        harness.onEffect = () => {};
        harness.elect(number);
        harness.onEffect = onEffect;
        break;
      }
      case 'late':
        harness.now = harness.core(number).nextDeadline() + Number(args[1]);
        harness.step(number, { kind: 'tick' });
        break;
      case 'wait':
        harness.now += number;
        break;
      case 'propose':
        harness.propose(number, args.slice(1).join(' '));
        break;
      case 'read':
        harness.step(number, { kind: 'read-index', id: Number(args[1]) });
        break;
      case 'transfer': {
        const to = args[1] === undefined ? {} : { to: harness.node(Number(args[1])).id };
        harness.step(number, { kind: 'transfer', ...to });
        break;
      }
      case 'renew': {
        const { voters } = harness.status(number);
        const renew = [harness.node(Number(args[1])).id];
        harness.step(number, { kind: 'reconfigure', id: 1, voters, learners: [], renew });
        break;
      }
      case 'reconfigure': {
        const [voters = [], learners = []] = args.slice(1).map((arg) => arg.split(',').map(Number));
        harness.reconfigure(number, voters, learners);
        break;
      }
      case 'peer-down':
      case 'peer-up':
        harness.step(number, { kind: verb, peer: harness.node(Number(args[1])).id });
        break;
      case 'inject':
        this.#inject(args);
        break;
      case 'snapshot': {
        const index = this.#snapshotArrives(number, Number(args[1]));
        this.#snapshotReported(number, Number(args[1]), index, true);
        break;
      }
      case 'snapshot-arrives':
        this.#snapshotArrives(number, Number(args[1]), args[2]);
        break;
      case 'snapshot-reported':
        this.#snapshotReported(number, Number(args[1]), Number(args[2]), args[3] === 'ok');
        break;
      case 'status':
        this.#status();
        break;
      case 'logs':
        for (const [at, node] of harness.nodes.entries()) {
          this.#output.push(`${node.id} after ${node.snapshot.index}: ${harness.logTerms(at + 1)}`);
        }
        break;
      case 'deliver':
      case 'drop':
      case 'stash':
      case 'unstash':
        this.#packets(verb, args);
        break;
      default:
        this.#machine(verb, number, args);
    }
  }

  #machine(verb: string, number: number, args: readonly string[]): void {
    const harness = this.#harness;
    const node = harness.node(number);
    switch (verb) {
      case 'crash':
        harness.crash(number);
        break;
      case 'restart':
        harness.restart(number);
        break;
      case 'join':
        node.snapshot = { index: 0, term: 0, conf: NO_CONF };
        node.hardState = { term: Number(args[1]), vote: undefined };
        node.isSuspect = true;
        harness.restart(number);
        break;
      case 'wipe':
        node.entries = node.entries.filter((entry) => entry.index <= Number(args[1]));
        break;
      case 'hold-disk':
        node.isDiskHeld = true;
        break;
      case 'free-disk':
        node.isDiskHeld = false;
        harness.sync(number);
        break;
      case 'sync':
        harness.sync(number, args[1] === undefined ? undefined : Number(args[1]));
        break;
      default:
        throw new Error(`unknown command "${verb}"`);
    }
  }

  #packets(verb: 'deliver' | 'drop' | 'stash' | 'unstash', args: readonly string[]): void {
    const harness = this.#harness;
    if (args[0] === 'all') {
      for (let rounds = 0; harness.packets.length > 0 && rounds < 100; rounds += 1) {
        this.#deliver(harness.take(() => true));
      }
      return;
    }
    const link = args.find((arg) => arg.includes('>'));
    const type = args.find((arg) => !arg.includes('>'));
    const matches = ({ from, to, message }: Packet): boolean =>
      (link === undefined || link === `${harness.numberOf(from)}>${harness.numberOf(to)}`) &&
      (type === undefined || message.type === type);
    if (verb === 'unstash') {
      const chosen = this.#stashed.filter(matches);
      this.#stashed = this.#stashed.filter((packet) => !matches(packet));
      this.#deliver(chosen);
      return;
    }
    const chosen = harness.take(matches);
    if (verb === 'deliver') this.#deliver(chosen);
    else if (verb === 'stash') this.#stashed.push(...chosen);
    if (verb === 'deliver') return;
    for (const packet of chosen) this.#output.push(`${verb} ${this.#describe(packet)}`);
  }

  #deliver(packets: readonly Packet[]): void {
    for (const packet of packets) {
      this.#output.push(this.#describe(packet));
      const { from, to, message } = packet;
      this.#harness.step(this.#harness.numberOf(to), { kind: 'message', from, message });
    }
  }

  #describe({ from, to, message }: Packet): string {
    return `${from} > ${to}: ${describeMessage(message)}`;
  }

  #inject([link = '', , term, prev = '', commit, ...entries]: readonly string[]): void {
    const [from = 0, to = 0] = link.split('>').map(Number);
    const [prevIndex = 0, prevTerm = 0] = prev.split('.').map(Number);
    const message: Message = {
      type: 'append',
      term: Number(term),
      prevIndex,
      prevTerm,
      commit: Number(commit),
      entries: entries.map((text) => {
        const [index = 0, entryTerm = 0] = text.split('.').map(Number);
        return entryOf(index, entryTerm);
      }),
    };
    this.#deliver([{ from: this.#harness.node(from).id, to: this.#harness.node(to).id, message }]);
  }

  /** The state machine's image at what the sender has applied, or had, is staged. Its index. */
  #snapshotArrives(from: number, to: number, older?: string): number {
    const harness = this.#harness;
    const { id, snapshot, entries, applied } = harness.node(from);
    const { applied: newest, term } = harness.status(from);
    const index = older === undefined ? newest : Number(older);
    const entry = [...entries, ...applied].find((candidate) => candidate.index === index);
    const conf = must(harness.core(from).confAt(index), 'the configuration of the snapshot');
    const meta = { index, term: entry?.term ?? snapshot.term, conf };
    harness.step(to, { kind: 'snapshot-received', from: id, term, meta });
    return index;
  }

  #snapshotReported(from: number, to: number, index: number, ok: boolean): void {
    const { id } = this.#harness.node(to);
    this.#harness.step(from, { kind: 'snapshot-sent', to: id, index, ok });
  }

  #status(): void {
    for (const node of this.#harness.nodes) {
      if (node.core === undefined) {
        this.#output.push(`${node.id} down`);
        continue;
      }
      const { role, term, leader, commit, last, lastTerm, stable, progress } = node.core.status();
      const disk = stable < last ? ` stable ${stable}` : '';
      const peers = progress.map(
        ({ peer, state, match, next, inflight }) =>
          ` ${peer}:${state} ${match}/${next}${inflight > 0 ? ` inflight ${inflight}` : ''}`,
      );
      this.#output.push(
        `${node.id} ${role} t${term} leader ${leader ?? 'unknown'} last ${last}.${lastTerm}${disk} commit ${commit}${peers.join('')}`,
      );
    }
  }
}
