/** One line of a prompt into words: blanks separate, quotes keep them, a backslash escapes. Pure. */
import { IdunnoError } from '../../base/index.js';

/** Throws USAGE when a quote is not closed. */
export function tokenize(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < line.length; at += 1) {
    const char = line.charAt(at);
    if (quote !== undefined) {
      if (char === quote) quote = undefined;
      else if (char === '\\' && quote === '"' && at + 1 < line.length) {
        at += 1;
        word = `${word ?? ''}${line.charAt(at)}`;
      } else word = `${word ?? ''}${char}`;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (char === '\\' && at + 1 < line.length) {
      at += 1;
      word = `${word ?? ''}${line.charAt(at)}`;
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (char === '#' && word === undefined) break;
    else word = `${word ?? ''}${char}`;
  }
  if (quote !== undefined) throw new IdunnoError('USAGE', `a ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}
