/**
 * Configurations of the group as values: how one is written into the log, which changes may be
 * asked for, and which configurations follow each other (Raft §6, dissertation §4.3).
 *
 *      voters A ──▶ voters A, learners N, next B ──▶ voters B, outgoing A ──▶ voters B
 *                   (while N catches up)              (joint: both decide)
 *
 * Every arrow is one entry of kind `config`. A change without new voters skips the second step; one
 * of learners alone is the first arrow and nothing else, because it moves no majority. A voter that
 * lost its disk is renewed: out by a joint configuration whose `next` names it, so that it is a
 * learner as soon as that is left, and then the second line again, all from one call.
 */
import { type NodeId, nodeId } from '../base/index.js';
import type { ConfState, Entry } from './types.js';

/** What the operator wants in the end. */
export interface ConfTarget {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Voters that have forgotten everything: they start over as learners. */
  readonly renew?: readonly NodeId[];
}

export const NO_CONF: ConfState = { voters: [], outgoing: [], learners: [] };

/** Far above any sensible group; a bound for what is decoded. */
const MEMBERS_MAX = 64;

/** As JSON, in a fixed order: the same on every node, and readable in a hex dump. */
export function encodeConf(conf: ConfState): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(confToWire(conf)));
}

/** Undefined where the bytes are no configuration. */
export function decodeConf(data: Uint8Array): ConfState | undefined {
  try {
    return confFromWire(JSON.parse(new TextDecoder().decode(data)));
  } catch {
    return undefined;
  }
}

/** The configuration that an entry brings, if it brings one. The first entry names the founders. */
export function confOfEntry(entry: Entry): ConfState | undefined {
  if (entry.kind !== 'config' && entry.kind !== 'bootstrap') return undefined;
  return decodeConf(entry.data);
}

/** From fields that may be spelt out as undefined, as a status has them. */
export function confOf({
  voters,
  outgoing,
  learners,
  next,
}: Omit<ConfState, 'next'> & { readonly next: readonly NodeId[] | undefined }): ConfState {
  return { voters, outgoing, learners, ...(next === undefined ? {} : { next }) };
}

/** Nested arrays of names: for snapshots on the wire, the log's summary and entries. */
export function confToWire(conf: ConfState): string[][] {
  const { voters, outgoing, learners, next } = conf;
  return [[...voters], [...outgoing], [...learners], ...(next === undefined ? [] : [[...next]])];
}

/** Undefined where the value is none. */
export function confFromWire(value: unknown): ConfState | undefined {
  if (!Array.isArray(value) || value.length < 3 || value.length > 4) return undefined;
  const lists: NodeId[][] = [];
  for (const list of value as unknown[]) {
    const names = namesOf(list);
    if (names === undefined) return undefined;
    lists.push(names);
  }
  const [voters = [], outgoing = [], learners = [], next] = lists;
  return confOf({ voters, outgoing, learners, next });
}

function namesOf(value: unknown): NodeId[] | undefined {
  if (!Array.isArray(value) || value.length > MEMBERS_MAX) return undefined;
  const names: NodeId[] = [];
  for (const name of value as unknown[]) {
    if (typeof name !== 'string') return undefined;
    try {
      names.push(nodeId(name));
    } catch {
      return undefined;
    }
  }
  return names;
}

/** A change is on its way: nothing else may begin, except what takes the place of `next`. */
export function isJoint(conf: ConfState): boolean {
  return conf.outgoing.length > 0;
}

/** Undefined where the target can be reached from `conf`; else why not. */
export function validateTarget(conf: ConfState, target: ConfTarget): string | undefined {
  const { voters, learners } = target;
  if (voters.length === 0) return 'a group without voters decides nothing';
  if (voters.length + learners.length > MEMBERS_MAX) return `more than ${MEMBERS_MAX} members`;
  const all = [...voters, ...learners];
  if (new Set(all).size !== all.length) return 'a member is named twice';
  const kept = conf.voters.filter((name) => !target.renew?.includes(name));
  if (kept.length === 0) return 'somebody has to keep what there is';
  // It would take part in both halves of a joint configuration in two different roles.
  const demoted = learners.find((name) => conf.voters.includes(name));
  if (demoted !== undefined) return `${demoted} votes: remove it before it becomes a learner`;
  return undefined;
}

/** The first step from a settled configuration towards the target; undefined: it is reached. */
export function firstStep(conf: ConfState, target: ConfTarget): ConfState | undefined {
  const voters = sorted(target.voters);
  const kept = conf.voters.filter((name) => !target.renew?.includes(name));
  if (kept.length < conf.voters.length) {
    return { voters: kept, outgoing: conf.voters, learners: sorted(target.learners), next: voters };
  }
  const newVoters = voters.filter((name) => !conf.voters.includes(name));
  if (newVoters.length > 0) {
    const learners = sorted([...target.learners, ...newVoters]);
    return { voters: conf.voters, outgoing: [], learners, next: voters };
  }
  const learners = sorted(target.learners);
  if (!sameNames(conf.voters, voters)) return { voters, outgoing: conf.voters, learners };
  const isReached = sameNames(conf.learners, learners) && conf.next === undefined;
  return isReached ? undefined : { voters: conf.voters, outgoing: [], learners };
}

/** From learners that have caught up to the joint configuration in which they vote. */
export function jointStep(conf: ConfState, next: readonly NodeId[]): ConfState {
  const learners = conf.learners.filter((name) => !next.includes(name));
  return { voters: sorted(next), outgoing: conf.voters, learners };
}

/** Raft §6: when the joint configuration is committed, the new one alone. */
export function leaveStep({ voters, learners, next }: ConfState): ConfState {
  if (next === undefined) return { voters, outgoing: [], learners };
  const coming = next.filter((name) => !voters.includes(name));
  return { voters, outgoing: [], learners: sorted([...learners, ...coming]), next };
}

export function sorted(names: readonly NodeId[]): NodeId[] {
  return [...new Set(names)].sort();
}

/** In whatever order; no name stands twice in either. */
export function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
