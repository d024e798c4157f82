/**
 * Which models a worker should have, read from the rows: those assigned to it, to be loaded and
 * warm, and all other wanted ones, whose files it fetches ahead of need. Pure.
 */
import type { ReadView } from '../store/index.js';
import { wantedModels } from './assignment.js';
import { ASSIGNMENTS_INDEX, JOBS_INDEX, MODELS_INDEX, modelKey } from './indexes.js';
import type { CatalogEntry } from './protocol.js';

export interface Catalog {
  /** Two catalogues with the same mark say the same. */
  readonly mark: string;
  readonly entries: readonly CatalogEntry[];
}

export function catalogOf(view: Pick<ReadView, 'index'>, node: string, epoch: number): Catalog {
  const { models, revisions } = view.index(MODELS_INDEX);
  const mine = view.index(ASSIGNMENTS_INDEX).byNode.get(node);
  const entries: CatalogEntry[] = [];
  for (const model of wantedModels(models.values(), view.index(JOBS_INDEX).values())) {
    const key = modelKey(model.name, model.revision);
    const row = revisions.get(key);
    if (row === undefined) continue;
    const { name, revision } = model;
    // An assignment to an earlier process is renewed by the leader before this one follows it.
    const given = mine?.get(key);
    const isAssigned = given?.epoch === epoch;
    entries.push({
      name,
      revision,
      isAssigned,
      given: isAssigned ? given.given : 0,
      files: row.files,
    });
  }
  return { mark: markOf(entries), entries };
}

/** FNV-1a over names, revisions and when each was given: short, and good enough to notice a change. */
function markOf(entries: readonly CatalogEntry[]): string {
  let hash = 0x811c9dc5;
  for (const { name, revision, given } of entries) {
    for (const char of `${modelKey(name, revision)}+${given}`) {
      hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
    }
  }
  return `${entries.length}-${hash.toString(16)}`;
}
