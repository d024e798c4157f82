/**
 * One stable line of text per message, entry, input and effect. Traces, scripts with golden
 * output, and logs use these lines; changing one changes the golden files.
 */
import { assertNever } from '../base/index.js';
import type { ConfState, Effect, Entry, Input, Message } from './types.js';

/** `7.2` (index.term) for a command, with the kind for what is not one. */
export function describeEntry(entry: Entry): string {
  const kind = entry.kind === 'command' ? '' : `:${entry.kind}`;
  return `${entry.index}.${entry.term}${kind}`;
}

/** `[5.2 6.2]`; long runs as `[5.2 … 90.3]`. */
export function describeEntries(entries: readonly Entry[]): string {
  const [first] = entries;
  const last = entries.at(-1);
  if (first === undefined || last === undefined) return '[]';
  if (entries.length <= 4) return `[${entries.map(describeEntry).join(' ')}]`;
  return `[${describeEntry(first)} … ${describeEntry(last)}]`;
}

export function describeConf(conf: ConfState): string {
  const parts = [`voters ${conf.voters.join(',')}`];
  if (conf.outgoing.length > 0) parts.push(`outgoing ${conf.outgoing.join(',')}`);
  if (conf.learners.length > 0) parts.push(`learners ${conf.learners.join(',')}`);
  if (conf.next !== undefined) parts.push(`next ${conf.next.join(',')}`);
  return parts.join(' ');
}

export function describeMessage(message: Message): string {
  const head = `${message.type} t${message.term}`;
  switch (message.type) {
    case 'pre-vote':
      return `${head} last ${message.lastIndex}.${message.lastTerm}`;
    case 'vote':
      return `${head} last ${message.lastIndex}.${message.lastTerm}${message.transfer ? ' transfer' : ''}`;
    case 'pre-vote-reply':
    case 'vote-reply':
      return `${head} ${message.granted ? 'granted' : 'refused'}`;
    case 'append':
      return `${head} prev ${message.prevIndex}.${message.prevTerm} commit ${message.commit} ${describeEntries(message.entries)}`;
    case 'append-reply':
      return message.ok
        ? `${head} ok ${message.index}`
        : `${head} refused ${message.index} hint ${message.hintIndex}.${message.hintTerm}`;
    case 'heartbeat':
      return `${head} commit ${message.commit} read ${message.read}`;
    case 'heartbeat-reply':
      return `${head} read ${message.read} verified ${message.verified}${message.suspect ? ' suspect' : ''}`;
    case 'timeout-now':
      return head;
    case 'catch-up':
      return `${head} id ${message.id}`;
    case 'catch-up-reply':
      return `${head} id ${message.id} last ${message.index}`;
    case 'removed':
      return `${head} at ${message.index}`;
    default:
      return assertNever(message, 'message');
  }
}

export function describeInput(input: Input): string {
  switch (input.kind) {
    case 'tick':
      return 'tick';
    case 'message':
      return `from ${input.from}: ${describeMessage(input.message)}`;
    case 'propose':
      return `propose ${input.proposals.map((proposal) => proposal.id).join(' ')}`;
    case 'read-index':
      return `read-index ${input.id}`;
    case 'persisted':
      return `persisted ${input.index}.${input.term} hard t${input.hardTerm}`;
    case 'applied':
      return `applied ${input.index} durable ${input.durable}`;
    case 'peer-down':
    case 'peer-up':
      return `${input.kind} ${input.peer}`;
    case 'transfer':
      return `transfer to ${input.to ?? 'anyone'}`;
    case 'reconfigure':
      return `reconfigure ${input.id} voters ${input.voters.join(',')} learners ${input.learners.join(',')}`;
    case 'snapshot-sent':
      return `snapshot ${input.index} to ${input.to} ${input.ok ? 'sent' : 'failed'}`;
    case 'snapshot-received':
      return `snapshot ${input.meta.index}.${input.meta.term} from ${input.from} t${input.term}`;
    case 'snapshot-installed':
      return `snapshot ${input.meta.index}.${input.meta.term} installed`;
    default:
      return assertNever(input, 'input');
  }
}

export function describeEffect(effect: Effect): string {
  switch (effect.kind) {
    case 'send':
      return `send ${effect.to}: ${describeMessage(effect.message)}`;
    case 'persist':
      return describePersist(effect);
    case 'apply':
      return `apply ${describeEntries(effect.entries)}`;
    case 'proposed':
      return `proposed ${effect.id} at ${effect.index}.${effect.term}`;
    case 'proposal-rejected':
      return `rejected ${effect.id}: ${effect.reason}, leader ${effect.leader ?? 'unknown'}`;
    case 'read-ready':
      return `read ${effect.id} ready at ${effect.index}`;
    case 'read-rejected':
      return `read ${effect.id} rejected, leader ${effect.leader ?? 'unknown'}`;
    case 'role':
      return `role ${effect.role} t${effect.term} leader ${effect.leader ?? 'unknown'}`;
    case 'send-snapshot':
      return `send-snapshot to ${effect.to}`;
    case 'install-snapshot':
      return `install-snapshot ${effect.meta.index}.${effect.meta.term} of ${effect.from}`;
    case 'compact':
      return `compact to ${effect.upTo}`;
    case 'transfer-done':
      return `transfer-done ${effect.to ?? 'without a new leader'}`;
    case 'reconfigure-accepted':
      return `reconfigure ${effect.id} accepted at ${effect.index ?? 'once: nothing to do'}`;
    case 'reconfigure-rejected':
      return `reconfigure ${effect.id} rejected: ${effect.reason}, leader ${effect.leader ?? 'unknown'}`;
    case 'conf':
      return `conf ${effect.index} ${describeConf(effect.conf)} ${confState(effect)}`;
    default:
      return assertNever(effect, 'effect');
  }
}

function confState({ isCommitted, isRemoved }: Extract<Effect, { kind: 'conf' }>): string {
  if (isRemoved) return 'without us now';
  return isCommitted ? 'committed' : 'in force';
}

function describePersist(effect: Extract<Effect, { kind: 'persist' }>): string {
  const parts: string[] = ['persist'];
  const { hardState } = effect;
  if (hardState !== undefined) parts.push(`t${hardState.term} vote ${hardState.vote ?? 'none'}`);
  if (effect.truncateFrom !== undefined) parts.push(`truncate ${effect.truncateFrom}`);
  if (effect.append.length > 0) parts.push(describeEntries(effect.append));
  for (const { to, message } of effect.then) {
    parts.push(`then ${to}: ${describeMessage(message)}`);
  }
  return parts.join(' ');
}
