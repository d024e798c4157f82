/**
 * JSON values, one per line, over a stream of bytes. Lines have a bound; a value that is not JSON
 * is refused with PROTOCOL.
 */
import { IdunnoError } from '../base/index.js';

/** A result of one item is a few hundred bytes; raw tensors may be a few hundred KiB. */
const LINE_BYTES_MAX = 8 * 1024 * 1024;

export async function* readJsonLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_BYTES_MAX) throw new IdunnoError('PROTOCOL', 'a line without an end');
    for (const line of lines) if (line !== '') yield parse(line);
  }
  rest += decoder.decode();
  if (rest.trim() !== '') yield parse(rest);
}

/** Lines as bytes, gathered so that a frame carries many of them. */
export async function* writeJsonLines(values: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let gathered: string[] = [];
  let bytes = 0;
  for await (const value of values) {
    const line = `${JSON.stringify(value)}\n`;
    gathered.push(line);
    bytes += line.length;
    if (bytes < FLUSH_BYTES) continue;
    yield encoder.encode(gathered.join(''));
    gathered = [];
    bytes = 0;
  }
  if (gathered.length > 0) yield encoder.encode(gathered.join(''));
}

const FLUSH_BYTES = 64 * 1024;

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    throw new IdunnoError('PROTOCOL', `a line is not JSON: ${line.slice(0, 60)}`);
  }
}
