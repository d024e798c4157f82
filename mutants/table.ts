/** The table of mutations in docs/raft.md, between two marks, written by the command itself. */
import { CATALOGUE } from './catalogue.js';
import type { Trial } from './trial.js';
import type { Verdict } from './verdict.js';

const BEGIN = '<!-- mutants: begin -->';
const END = '<!-- mutants: end -->';

export function renderTable(trials: readonly Trial[]): string {
  const rows = trials.map(({ mutation, simulation, test }) => {
    const cells = [mutation.id, mutation.mistake, bySimulation(simulation), byTest(test)];
    return `| ${cells.map(escapeCell).join(' | ')} |`;
  });
  return ['| | Mistake | Simulation | Test |', '|---|---|---|---|', ...rows].join('\n');
}

/**
 * The document with these rows in its table; rows of other mutations stay, of mutations that are no
 * more go. Throws where the marks are missing.
 */
export function replaceRows(document: string, table: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`no place for the table: ${BEGIN} … ${END}`);
  const rows = new Map([...rowsOf(document.slice(begin, end)), ...rowsOf(table)]);
  const ordered = catalogueIds().flatMap((id) => rows.get(id) ?? []);
  const head = table.split('\n').slice(0, 2);
  const whole = [...head, ...ordered].join('\n');
  return `${document.slice(0, begin + BEGIN.length)}\n${whole}\n${document.slice(end)}`;
}

function rowsOf(text: string): Map<string, string> {
  return new Map([...text.matchAll(/^\| ([A-Z]+\d+) \|.*$/gm)].map(([row, id]) => [id ?? '', row]));
}

/** Ids in the table of the document: a test compares them with the catalogue. */
export function idsInTable(document: string): string[] {
  const part = document.slice(document.indexOf(BEGIN), document.indexOf(END));
  return [...rowsOf(part).keys()];
}

export function catalogueIds(): string[] {
  return CATALOGUE.map(({ id }) => id);
}

function bySimulation(verdict: Verdict | undefined): string {
  if (verdict === undefined) return 'does not run this code';
  if (verdict.kind === 'caught') return `${verdict.by}, seed ${verdict.seed}`;
  return verdict.kind === 'missed' ? `not within ${verdict.seeds} seeds` : verdict.why;
}

function byTest(verdict: Verdict): string {
  if (verdict.kind === 'caught') return verdict.by;
  return verdict.kind === 'missed' ? 'no' : verdict.why;
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|');
}
