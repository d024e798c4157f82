/**
 * The one place where errors become text: what failed, what it did to the cluster, whether the same
 * call may be tried again, and what to do next. docs/errors.md lists the same; a test compares.
 */
import {
  asIdunnoError,
  type Effect,
  type ErrorCode,
  type IdunnoError,
  isIdunnoError,
} from '../base/index.js';

export const EFFECT_TEXT: Readonly<Record<Effect, string>> = {
  unchanged: 'nothing was changed',
  unknown: 'it may still take effect, once',
  'partly-done': 'a part of it is done and stays',
};

/** What a person can do about each. */
export const NEXT_STEP: Readonly<Record<ErrorCode, string>> = {
  BAD_NAME: 'choose another name',
  BAD_ARGUMENT: 'correct the argument; --help shows what is accepted',
  BAD_CONFIG: 'correct the file; all its problems are listed at once',
  BAD_MODEL: 'correct the model folder; all its problems are listed at once',
  USAGE: 'see --help',
  FILE_NOT_FOUND: 'idunno file list shows the names there are',
  VERSION_NOT_FOUND: 'idunno file versions NAME shows the versions there are',
  LOCAL_FILE_NOT_FOUND: 'check the path on this machine',
  MODEL_NOT_FOUND: 'idunno model ls shows the models there are; deploy it first',
  JOB_NOT_FOUND: 'idunno job ls shows the jobs there are',
  NODE_NOT_FOUND: 'idunno member ls shows the nodes there are',
  SETTING_NOT_FOUND: 'idunno settings put KEY VALUE sets it',
  MODEL_UNDEPLOYED: 'wait until idunno model ls says Deployed, or see its workers with -o wide',
  JOB_STATE: 'idunno job show ID says what state the job is in',
  NO_INPUT: 'idunno file list PREFIX shows which files there are',
  INTENT_CLOSED: 'put the file again',
  HOLDER_DOWN: 'try again: another node takes the copy',
  LEASE_STALE: 'nothing: another worker has the task',
  CONFLICT: 'read the newest state and decide again',
  CHANGE_PENDING: 'wait until idunno raft status shows no change under way, then try again',
  WOULD_LOSE_QUORUM:
    'bring more coordinators up first, or replace those that do not answer: idunno raft status',
  NOT_LEADER: 'try again: the leader has just changed',
  NO_LEADER: 'check that a majority of the coordinators runs: idunno status',
  NOT_READY: 'wait a moment: the node is still starting',
  UNAVAILABLE: 'check that the nodes run and can be reached: idunno status',
  BUSY: 'try again in a moment',
  NODE_LEFT: 'let the node join again: idunno member join --node NAME',
  WRONG_CLUSTER: 'use the config file of the cluster that you mean',
  UNKNOWN_OUTCOME: 'look before you repeat it by hand: it may have happened',
  TIMEOUT: 'try again, or give it longer with --timeout',
  PARTLY_DONE: 'run the same command again: what is done is not done twice',
  ABORTED: 'look before you repeat it: it may have happened',
  DISK_FULL: 'free space on the node that is named, or add nodes',
  DISK_ERROR: 'check the disk of the node that is named',
  CORRUPT: 'another copy is used where there is one: idunno file report',
  NOT_ENOUGH_NODES: 'start more nodes: idunno member ls',
  FOLDER_LOCKED: 'a node runs on this data folder already; stop it, or use another folder',
  FOREIGN_DATA: 'use the data folder of this node, or an empty one',
  PORT_TAKEN: 'end what uses the port, or choose another in the config file',
  CONNECTION_LOST: 'check that the node runs: idunno status',
  PROTOCOL: 'use the same version of idunno on both sides',
  NO_SUCH_METHOD: 'use the same version of idunno on both sides',
  MODEL_LOAD_FAILED: 'idunno model ls -o wide shows what each worker said',
  MODEL_CRASHED: 'check the model: its process ended',
  BAD_IMAGE: 'check the file: it is no image that can be decoded',
  NODE_FAILED: 'see the log of the node; check its disk, then start it again',
  INTERNAL: 'this is a bug: please report it with the log of the node',
};

/** `error: …` and one line beneath, without a final newline. */
export function renderError(error: unknown): string {
  const known = asIdunnoError(error);
  return `error: ${known.message}\n${renderAdvice(known)}`;
}

/** `effect: …; retry: …; next: …` */
export function renderAdvice(error: IdunnoError): string {
  const retry = error.isRetryable ? 'safe' : 'will not help';
  const effect = EFFECT_TEXT[error.effect];
  return `  effect: ${effect}; retry: ${retry}; next: ${NEXT_STEP[error.code]}`;
}

/** For the shell: one sentence. */
export function renderSentence(error: unknown): string {
  const known = asIdunnoError(error);
  const text = known.message.endsWith('.') ? known.message.slice(0, -1) : known.message;
  return `error: ${text} (${EFFECT_TEXT[known.effect]}; ${NEXT_STEP[known.code]})`;
}

/** The exit code of a failed command: docs/errors.md. */
export function exitCodeOf(error: unknown): number {
  return isIdunnoError(error) ? error.exitCode : 70;
}
