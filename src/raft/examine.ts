/** What a boot would make of a log, without changing anything: for the doctor. */
import type { Database, Disk, LogIndex, NodeId, Term } from '../base/index.js';
import { scanLog } from './log-scan.js';
import { judge } from './recovery.js';
import { readNote } from './suspect-note.js';
import { Watermark } from './watermark.js';

export interface LogExamination {
  readonly verdict: 'empty' | 'sound' | 'suspect' | 'wiped';
  /** What is wrong, for a suspect or wiped one. */
  readonly reason: string | undefined;
  /** One slot of the watermark is unreadable; the rest proves that nothing is missing. */
  readonly isWatermarkTorn: boolean;
  /** It was already noted as suspect, and has not caught up since. */
  readonly isNoted: boolean;
  readonly term: Term | undefined;
  readonly vote: NodeId | undefined;
  /** The sound part: entries after `firstAfter` up to `last`. */
  readonly firstAfter: LogIndex;
  readonly last: LogIndex;
}

/** `folder` holds the watermark and the note; `db` may be a copy; `damage`: why there is none. */
export async function examineLog(
  folder: string,
  disk: Disk,
  db: Database | undefined,
  damage: string | undefined,
): Promise<LogExamination> {
  const nothing = { summary: undefined, entries: [], problem: undefined };
  const scan = db === undefined ? nothing : await scanLog(db);
  const mark = await Watermark.read(disk, `${folder}/watermark`);
  const note = await readNote(disk, `${folder}/suspect.json`);
  const verdict = judge({ scan, mark, note, damage });
  const promises = verdict.kind === 'suspect' ? verdict.hardState : scan.summary?.hardState;
  const firstAfter = scan.summary?.snapshot.index ?? 0;
  return {
    verdict: verdict.kind,
    reason: verdict.kind === 'suspect' || verdict.kind === 'wiped' ? verdict.reason : undefined,
    isWatermarkTorn: verdict.kind === 'sound' && verdict.isMarkDamaged,
    isNoted: note !== undefined,
    term: promises?.term,
    vote: promises?.vote,
    firstAfter,
    last: scan.entries.at(-1)?.index ?? firstAfter,
  };
}
