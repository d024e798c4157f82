/**
 * Events that an operator asks the log about: members that change state, nodes that are marked,
 * jobs and models that change state. Lines carry what was before and after; one per event.
 */
import type { Logger } from '../base/index.js';
import type { Change, LocalStore } from '../store/index.js';
import { NODES } from '../store/index.js';
import type { Membership } from '../swim/index.js';

/** `member.change`: what SWIM says. */
export function logMembers(membership: Pick<Membership, 'onChange'>, log: Logger): void {
  membership.onChange(({ member, before }) => {
    if (member.state === before) return;
    const { name, state, bootEpoch, incarnation } = member;
    const fields = { name, before: before ?? 'unknown', after: state, bootEpoch, incarnation };
    log.info('member.change', fields);
  });
}

/** `node.change`, `job.change`, `model.change`: what Raft has decided, as applied here. */
export function logState(local: Pick<LocalStore, 'onChanges'>, log: Logger): void {
  local.onChanges((changes, index) => {
    for (const change of changes) logChange(change, index, log);
  });
}

/** Tables whose rows have a state worth a line, and the row's field that holds it. */
const WATCHED: ReadonlyMap<string, { readonly event: string; readonly field: string }> = new Map([
  [NODES.name, { event: 'node.change', field: 'status' }],
  ['jobs', { event: 'job.change', field: 'state' }],
  ['models', { event: 'model.change', field: 'state' }],
]);

function logChange({ table, key, before, after }: Change, index: number, log: Logger): void {
  const watched = WATCHED.get(table.name);
  if (watched === undefined) return;
  const was = fieldOf(before, watched.field);
  const is = fieldOf(after, watched.field);
  if (was === is) return;
  log.info(watched.event, { key: key.join('/'), before: was, after: is, index });
}

function fieldOf(row: unknown, field: string): string {
  if (typeof row !== 'object' || row === null) return 'none';
  const value: unknown = Reflect.get(row, field);
  return value === undefined ? 'none' : String(value);
}
