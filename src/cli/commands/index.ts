/** All commands, in the order in which help shows them. */
import type { CommandSpec } from '../types.js';
import { CLASSIC_COMMAND_SPECS } from './classic.js';
import { CLUSTER_COMMANDS } from './cluster.js';
import { FILE_COMMANDS } from './file.js';
import { JOB_COMMANDS } from './job.js';
import { CLASSIC_GREP, LOG_COMMANDS } from './logs.js';
import { MEMBER_COMMANDS } from './member.js';
import { MODEL_COMMANDS } from './model.js';
import { RAFT_COMMANDS } from './raft.js';
import { RAFT_DOCTOR } from './raft-doctor.js';

export const ALL_COMMANDS: readonly CommandSpec[] = [
  ...CLUSTER_COMMANDS,
  ...FILE_COMMANDS.map(afterElection),
  ...MODEL_COMMANDS.map(afterElection),
  ...JOB_COMMANDS.map(afterElection),
  ...MEMBER_COMMANDS,
  ...LOG_COMMANDS,
  ...RAFT_COMMANDS,
  RAFT_DOCTOR,
  ...CLASSIC_COMMAND_SPECS,
  CLASSIC_GREP,
];

function afterElection(spec: CommandSpec): CommandSpec {
  return { ...spec, needs: 'leader' };
}

/** What each noun is about. */
export const NOUNS: Readonly<Record<string, string>> = {
  file: 'the versioned, replicated files',
  model: 'what the cluster can run',
  job: 'batches of queries on a model',
  member: 'who is there, as SWIM sees it',
  logs: 'what the nodes have written about themselves',
  raft: 'the consensus group',
  settings: 'small replicated values',
  classic: 'the classic course commands, one at a time',
};
