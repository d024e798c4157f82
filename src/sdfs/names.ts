/**
 * What may name a file: flat UTF-8, 1 byte to 1 KiB, without control characters. `/` means nothing
 * beyond prefix listing. Checked by the client (a good message, early) and again by the commands
 * (nothing else gets into the tables).
 */
import { FILE_NAME_BYTES_MAX as NAME_BYTES_MAX, IdunnoError } from '../base/index.js';

const CONTROL = /\p{Cc}/u;
const HALF_CHARACTER = /\p{Surrogate}/u;
/** As much of a bad name as an error shows. */
const SHOWN_CHARS_MAX = 60;

/** Why this cannot name a file, or undefined if it can. */
export function validateFileName(name: string): string | undefined {
  if (name.length === 0) return 'it is empty';
  const bytes = Buffer.byteLength(name, 'utf8');
  if (bytes > NAME_BYTES_MAX) return `it has ${bytes} bytes, at most ${NAME_BYTES_MAX} are allowed`;
  if (name.includes('\0')) return 'it contains a NUL character';
  if (CONTROL.test(name)) return 'it contains a control character';
  if (HALF_CHARACTER.test(name)) return 'it contains half a character (a lone surrogate)';
  return undefined;
}

/** Throws BAD_NAME, naming the reason. */
export function checkFileName(name: string): void {
  const reason = validateFileName(name);
  if (reason === undefined) return;
  const shown = name.length > SHOWN_CHARS_MAX ? `${name.slice(0, SHOWN_CHARS_MAX)}…` : name;
  throw new IdunnoError('BAD_NAME', `${JSON.stringify(shown)} cannot name a file: ${reason}`, {
    reason,
  });
}
