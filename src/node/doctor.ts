/**
 * Looks at the data folder of a node that does not run, and explains what it finds: what is wrong,
 * what that means, and what to do. It changes nothing: databases are opened as copies, because
 * LevelDB writes when it opens. What it says is what the next start will make of the folder; both
 * ask the same code.
 */
import { join } from 'node:path';
import {
  assertFolderFree,
  checkDataFiles,
  createRealDisk,
  type Database,
  type Disk,
  IdunnoError,
  isIdunnoError,
  type NodeConfig,
  openLevelDatabase,
} from '../base/index.js';
import { examineLog, type LogExamination } from '../raft/index.js';
import { describeSum, readCurrent, verifyRows } from '../store/index.js';
import { withCopy } from './real-copy.js';

export interface Finding {
  readonly part: 'identity' | 'log' | 'state';
  readonly isSound: boolean;
  readonly says: string;
  /** Both empty where all is well. */
  readonly means: string;
  readonly next: string;
}

export interface Diagnosis {
  readonly node: string;
  readonly folder: string;
  /** Nothing has to be repaired. */
  readonly isSound: boolean;
  readonly findings: readonly Finding[];
  readonly log: LogExamination;
  /** Undefined: there is none that could be used. */
  readonly state: { readonly index: number; readonly sum: string } | undefined;
}

const HEALS =
  'start it: it follows without a vote, is sent what is missing by the leader, and votes again ' +
  'when it has everything. Check the disk. Where a majority of the coordinators is in this state ' +
  'no leader comes up: start the others first, or restore a folder from before the damage';

/** Throws FOLDER_LOCKED while the node runs, LOCAL_FILE_NOT_FOUND where there is no folder. */
export async function diagnose(node: NodeConfig): Promise<Diagnosis> {
  const folder = node.dataDir;
  const disk = createRealDisk();
  if ((await disk.stat(folder)) === undefined) {
    const text = `${node.name} has no data folder ${folder}: it has never been started here`;
    throw new IdunnoError('LOCAL_FILE_NOT_FOUND', text, { path: folder });
  }
  await assertFolderFree(folder);
  const identity = await examineIdentity(folder, disk);
  const log = await examineLogFolder(join(folder, 'raft'), disk);
  const state = await examineState(join(folder, 'state'), disk);
  const findings = [identity, explainLog(log), explainState(state, log)];
  return {
    node: node.name,
    folder,
    isSound: findings.every((finding) => finding.isSound),
    findings,
    log,
    state: 'index' in state ? state : undefined,
  };
}

async function examineIdentity(folder: string, disk: Disk): Promise<Finding> {
  const files = Object.entries(await checkDataFiles(disk, folder));
  const broken = files.filter(([, state]) => state !== 'sound');
  if (broken.length === 0) return sound('identity', 'identity and epoch are sound');
  return {
    part: 'identity',
    isSound: false,
    says: broken.map(([file, state]) => `${file} is ${state}`).join(', '),
    means: 'the next start writes it anew, from its copy or from the config',
    next: 'start it, and check the disk',
  };
}

async function examineLogFolder(folder: string, disk: Disk): Promise<LogExamination> {
  const path = join(folder, 'log');
  if ((await disk.stat(path)) === undefined) return examineLog(folder, disk, undefined, undefined);
  return withCopy(path, async (copy) => {
    let db: Database;
    try {
      db = await openLevelDatabase(copy, { compression: false });
    } catch (error) {
      if (!isIdunnoError(error, 'CORRUPT')) throw error;
      return examineLog(folder, disk, undefined, error.message.replaceAll(copy, path));
    }
    try {
      return await examineLog(folder, disk, db, undefined);
    } finally {
      await db.close();
    }
  });
}

type StateExamination =
  | { readonly index: number; readonly sum: string }
  | { readonly problem: string }
  | { readonly isMissing: true };

async function examineState(folder: string, disk: Disk): Promise<StateExamination> {
  if ((await disk.stat(folder)) === undefined) return { isMissing: true };
  try {
    const generation = await readCurrent(disk, folder);
    const path = join(folder, `gen-${generation}`);
    if ((await disk.stat(path)) === undefined) return { problem: `${path} is missing` };
    return await withCopy(path, verifyCopy);
  } catch (error) {
    if (!isIdunnoError(error, 'CORRUPT')) throw error;
    return { problem: error.message };
  }
}

async function verifyCopy(copy: string): Promise<StateExamination> {
  const db = await openLevelDatabase(copy);
  try {
    const { position, sum } = await verifyRows(db);
    return { index: position.index, sum: describeSum(sum) };
  } finally {
    await db.close();
  }
}

function explainLog(log: LogExamination): Finding {
  const { verdict, firstAfter, last, term, vote, isNoted } = log;
  const holds = `entries ${firstAfter + 1} to ${last}, term ${term ?? 0}, vote ${vote ?? 'none'}`;
  switch (verdict) {
    case 'empty':
      return sound('log', 'there is no log: the node has never been part of a cluster');
    case 'sound':
      if (!log.isWatermarkTorn) return sound('log', `the log is sound: ${holds}`);
      return {
        part: 'log',
        isSound: false,
        says: `the log is sound (${holds}), but one slot of its watermark is unreadable`,
        means: 'nothing is missing: the log proves it. The next start writes the watermark anew',
        next: 'start it',
      };
    case 'suspect':
      return {
        part: 'log',
        isSound: false,
        says: `${isNoted ? 'it is being repaired: ' : ''}${log.reason}. Sound are ${holds}`,
        means: 'the node may have lost what it acknowledged, so it must neither vote nor lead',
        next: HEALS,
      };
    case 'wiped':
      return {
        part: 'log',
        isSound: false,
        says: `${log.reason}`,
        means:
          'nobody knows any more what this node promised: it must never vote as its old self, and ' +
          'starts as somebody new, without anything of what is here',
        next: 'start it while the other coordinators run, and check the disk',
      };
  }
}

function explainState(state: StateExamination, log: LogExamination): Finding {
  if ('isMissing' in state) return sound('state', 'there is no state');
  if ('problem' in state) {
    return {
      part: 'state',
      isSound: false,
      says: state.problem,
      means: 'the rows are not what was written. The next start moves them aside',
      next:
        log.verdict === 'sound' && log.firstAfter === 0
          ? 'start it: the log goes back to the beginning and is applied again. Check the disk'
          : HEALS,
    };
  }
  const says = `the rows add up: at entry ${state.index}, sum ${state.sum}`;
  if (state.index >= log.firstAfter && state.index <= log.last) return sound('state', says);
  return {
    part: 'state',
    isSound: false,
    says: `${says}; but the log has ${log.firstAfter + 1} to ${log.last}`,
    means: 'log and state do not belong together: one of them was lost or replaced',
    next: HEALS,
  };
}

function sound(part: Finding['part'], says: string): Finding {
  return { part, isSound: true, says, means: '', next: '' };
}
