/**
 * What a command says. Results go to stdout in the chosen format, everything else to stderr.
 *
 * `table` is for eyes: aligned columns, units, ages. `wide` adds columns. `json` is the contract for
 * programs: one document `{"kind": …, "version": 1, …}` with numbers in base units and times in
 * milliseconds since 1970; fields are added, never renamed, under one version.
 */
import { once } from 'node:events';
import cliProgress from 'cli-progress';
import Table from 'cli-table3';
import type { CliIo } from './types.js';

export type OutputFormat = 'table' | 'wide' | 'json';

export const OUTPUT_FORMATS: readonly OutputFormat[] = ['table', 'wide', 'json'];

const NEWLINE = Uint8Array.of(0x0a);

/** The version of the JSON documents. */
const JSON_VERSION = 1;

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'left' | 'right';
  /** Shown with `-o wide` only. */
  readonly wide?: boolean;
}

export interface Progress {
  update(done: number, note?: string): void;
  stop(): void;
}

export class Output {
  readonly format: OutputFormat;
  private readonly io: CliIo;

  constructor(format: OutputFormat, io: CliIo) {
    this.format = format;
    this.io = io;
  }

  /** Rows of one kind; `kind` is plural in JSON: `{"kind": "jobs", "items": […]}`. */
  list<Row>(kind: string, rows: readonly Row[], columns: readonly Column<Row>[]): void {
    if (this.format === 'json') {
      this.json({ kind, version: JSON_VERSION, items: rows });
      return;
    }
    this.line(this.rendered(rows, columns));
  }

  /** A table as text, with the columns of the format. */
  rendered<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
    const shown = columns.filter((column) => this.format === 'wide' || column.wide !== true);
    return renderPlainTable(rows, shown);
  }

  /** One thing with its fields, one per line. */
  item<Row extends object>(kind: string, row: Row, columns: readonly Column<Row>[]): void {
    if (this.format === 'json') {
      this.json({ kind, version: JSON_VERSION, ...row });
      return;
    }
    const shown = columns.filter((column) => this.format === 'wide' || column.wide !== true);
    const width = Math.max(...shown.map((column) => column.title.length));
    for (const column of shown) {
      this.line(`${`${column.title}:`.padEnd(width + 2)}${column.value(row)}`);
    }
  }

  /** The result of an action: a sentence, or the object it speaks of. */
  done<Row extends object>(sentence: string, kind: string, row: Row): void {
    if (this.format === 'json') {
      this.json({ kind, version: JSON_VERSION, ...row });
      return;
    }
    this.line(sentence);
  }

  /** One JSON document per line: for streams whose end is not known. */
  jsonLine(value: unknown): void {
    this.line(JSON.stringify(value));
  }

  /** A line of the result. */
  line(text: string): void {
    this.io.stdout.write(`${text}\n`);
  }

  /** A line of the result that need not be text. Resolves when the stream takes more. */
  async bytes(line: Uint8Array): Promise<void> {
    const isReady = this.io.stdout.write(Buffer.concat([line, NEWLINE]));
    if (!isReady) await once(this.io.stdout, 'drain');
  }

  /** A line beside the result: progress, warnings, hints. */
  note(text: string): void {
    this.io.stderr.write(`${text}\n`);
  }

  /** A bar on stderr where that is a terminal; silence elsewhere. */
  progress(total: number, label: string): Progress {
    if (!this.io.stderrIsTty || this.format === 'json') return { update() {}, stop() {} };
    const bar = new cliProgress.SingleBar({
      stream: this.io.stderr as NodeJS.WritableStream,
      format: `${label} [{bar}] {percentage}% {value}/{total} {note}`,
      hideCursor: true,
      clearOnComplete: true,
    });
    bar.start(total, 0, { note: '' });
    return {
      update: (done, note = '') => bar.update(done, { note }),
      stop: () => bar.stop(),
    };
  }

  private json(document: object): void {
    this.line(JSON.stringify(document, undefined, 2));
  }
}

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
} as const;

const ASCII_BORDERS = {
  top: '-',
  'top-mid': '+',
  'top-left': '+',
  'top-right': '+',
  bottom: '-',
  'bottom-mid': '+',
  'bottom-left': '+',
  'bottom-right': '+',
  left: '|',
  'left-mid': '+',
  mid: '-',
  'mid-mid': '+',
  right: '|',
  'right-mid': '+',
  middle: '|',
} as const;

/** Columns aligned by spaces, without trailing ones. */
export function renderPlainTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): string {
  const table = new Table({
    head: columns.map((column) => column.title.toUpperCase()),
    chars: { ...NO_BORDERS },
    colAligns: columns.map((column) => column.align ?? 'left'),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  table.push(...rows.map((row) => columns.map((column) => column.value(row))));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** The classic shape: `+----+`, a ruled head, centred cells. */
export function renderAsciiTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const table = new Table({
    head: [...head],
    chars: { ...ASCII_BORDERS },
    colAligns: head.map(() => 'center' as const),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}
