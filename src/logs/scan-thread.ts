/**
 * The thread of one scan: reads the node's segments, oldest first, and posts what the query selects.
 * It alone spends time on patterns; the node's main thread only passes batches on, and ends this
 * thread when its time is over. Reading is synchronous, because there is nothing else to do here.
 *
 * At most WINDOW batches are on the way: the rest waits until the reader has taken some. What is
 * being written while it scans is searched up to the size that the file had at the beginning.
 *
 * It imports nothing from outside this folder, so that it starts in a few milliseconds.
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { NEWLINE } from './byte-set.js';
import { LineScan, type SegmentChunk } from './line-scan.js';
import { type FromScan, SCAN_WINDOW, type ScanData, type ToScan } from './scan-messages.js';

const { folder, file, query } = workerData as ScanData;

/** Read at once. Small enough that a first match is told soon. */
const CHUNK_BYTES = 1024 * 1024;
/** A longer line is searched in pieces of this size; the log writes none above 64 KiB. */
const LINE_BYTES_MAX = 4 * 1024 * 1024;
/** Below the node's own work, as the model hosts are. */
const NICE = 10;

interface Segment {
  readonly name: string;
  readonly fd: number;
  readonly bytes: number;
  readonly inode: number;
}

let window: number = SCAN_WINDOW;
let wake: (() => void) | undefined;

parentPort?.on('message', ({ taken }: ToScan) => {
  window += taken;
  wake?.();
});

function post(message: FromScan): void {
  parentPort?.postMessage(message);
}

/** The file that is written is opened first: should it be renamed meanwhile, it is seen twice. */
function openSegments(): Segment[] {
  const current = openSegment(file);
  const full = readdirSync(folder)
    .filter((name) => name.startsWith(`${file}.`))
    .map((name) => ({ name, number: Number(name.slice(file.length + 1)) }))
    .filter(({ number }) => Number.isSafeInteger(number) && number > 0)
    .sort((a, b) => a.number - b.number)
    .flatMap(({ name }) => openSegment(name) ?? []);
  if (current === undefined) return full;
  const renamed = full.find(({ inode }) => inode === current.inode);
  if (renamed === undefined) return [...full, current];
  closeSync(current.fd);
  return full;
}

/** Undefined when it is gone: the oldest are removed when a new one begins. */
function openSegment(name: string): Segment | undefined {
  let fd: number;
  try {
    fd = openSync(join(folder, name), 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const { size, ino } = fstatSync(fd);
  return { name, fd, bytes: size, inode: ino };
}

/** Whole lines; the last one gets the newline it lacks. */
function* chunksOf({ name, fd, bytes }: Segment): Generator<SegmentChunk> {
  let buffer = Buffer.allocUnsafe(CHUNK_BYTES + 1);
  let offset = 0;
  let held = 0;
  while (offset + held < bytes) {
    if (held === buffer.length - 1) {
      const larger = Buffer.allocUnsafe(Math.min(buffer.length * 2, LINE_BYTES_MAX) + 1);
      buffer.copy(larger, 0, 0, held);
      buffer = larger;
    }
    const wanted = Math.min(buffer.length - 1 - held, bytes - offset - held);
    const got = readSync(fd, buffer, held, wanted, offset + held);
    if (got === 0) break;
    held += got;
    const isEnd = offset + held >= bytes;
    const newline = buffer.subarray(0, held).lastIndexOf(NEWLINE);
    let whole = newline + 1;
    if ((isEnd && whole < held) || (whole === 0 && held >= LINE_BYTES_MAX)) {
      buffer[held] = NEWLINE;
      whole = held + 1;
    }
    if (whole === 0) continue;
    yield { segment: name, offset, bytes: buffer.subarray(0, whole) };
    const used = Math.min(whole, held);
    buffer.copy(buffer, 0, used, held);
    offset += used;
    held -= used;
  }
}

async function run(): Promise<void> {
  const scan = new LineScan(query);
  const segments = openSegments();
  try {
    for (const segment of segments) {
      for (const chunk of chunksOf(segment)) {
        for (const batch of scan.add(chunk)) await deliver(batch);
        post({ kind: 'progress', matches: scan.matches, bytes: scan.bytes });
        if (scan.isFull) break;
      }
      if (scan.isFull) break;
    }
    post({ kind: 'done', matches: scan.matches, bytes: scan.bytes });
  } finally {
    for (const { fd } of segments) closeSync(fd);
  }
}

async function deliver(batch: Extract<FromScan, { kind: 'lines' }>['batch']): Promise<void> {
  while (window === 0) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  window -= 1;
  post({ kind: 'lines', batch });
}

try {
  setPriority(NICE);
} catch {
  // Not permitted, or not on this system: then it shares the cores evenly.
}
run()
  .catch((error: unknown) => {
    post({ kind: 'failed', error: error instanceof Error ? error.message : String(error) });
  })
  .finally(() => parentPort?.close());
