/**
 * Where the time of a slow round went, from the survivors' logs: until somebody noticed, until
 * somebody was elected, until the new leader had its first entry committed and applied, and the
 * rest, until the client had its answer.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Round } from './rounds.js';

/** Milliseconds; undefined where the logs do not tell. */
export interface Phases {
  readonly detectMs: number | undefined;
  readonly electMs: number | undefined;
  readonly readyMs: number | undefined;
  readonly answerMs: number | undefined;
  /** Elections that were begun. */
  readonly campaigns: number;
}

export interface RoleLine {
  readonly atMs: number;
  readonly node: string;
  readonly role: string;
  readonly leader: string;
  readonly isReady: boolean;
}

/** All `raft.role` lines of these data folders, in order of time. */
export async function readRoles(dataDirs: readonly string[]): Promise<RoleLine[]> {
  const lines: RoleLine[] = [];
  for (const dir of dataDirs) {
    const folder = join(dir, 'logs');
    for (const name of (await readdir(folder)).filter((each) => each.startsWith('node.log'))) {
      for (const text of (await readFile(join(folder, name), 'utf8')).split('\n')) {
        if (text.includes('"raft.role"')) lines.push(...roleLine(text));
      }
    }
  }
  return lines.sort((a, b) => a.atMs - b.atMs);
}

function roleLine(text: string): RoleLine[] {
  try {
    const line = JSON.parse(text) as Readonly<Record<string, unknown>>;
    return [
      {
        atMs: Date.parse(String(line['time'])),
        node: String(line['node']),
        role: String(line['role']),
        leader: String(line['leader']),
        isReady: line['isReady'] === true,
      },
    ];
  } catch {
    // The last line of a node that was killed.
    return [];
  }
}

export function phasesOf(round: Round, roles: readonly RoleLine[]): Phases {
  const answeredAtMs = round.struckAtMs + round.nextWriteMs;
  const lines = roles.filter(
    ({ atMs, node }) =>
      atMs >= round.struckAtMs && atMs <= answeredAtMs + 1 && node !== round.leader,
  );
  const noticed = lines.find(({ leader }) => leader !== round.leader);
  const elected = lines.find(({ role }) => role === 'leader');
  const ready = lines.find(({ isReady }) => isReady);
  const between = (from: number | undefined, to: number | undefined): number | undefined =>
    from === undefined || to === undefined ? undefined : Math.max(0, to - from);
  return {
    detectMs: between(round.struckAtMs, noticed?.atMs),
    electMs: between(noticed?.atMs, elected?.atMs),
    readyMs: between(elected?.atMs, ready?.atMs),
    answerMs: between(ready?.atMs, answeredAtMs),
    campaigns: lines.filter(({ role }) => role === 'candidate').length,
  };
}
